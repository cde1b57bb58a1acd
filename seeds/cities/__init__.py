"""The demonstration of federation: two cities on one river, each with its own broker, and an agreement.

town    a town's broker, which can be stopped and started again
story   the whole demonstration
"""
