"""The composition root: builds every room of one worker and runs it. The only room that knows them all."""
