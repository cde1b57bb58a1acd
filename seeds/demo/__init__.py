"""The demonstration: a week of Saint-Quentin's irrigation in about a minute, over HTTP only.

clock, weather, soil, world   the simulated city: pure, no input or output
city                          the seeds as the devices know them
client, listener              an NGSI-LD client and a receiver of notifications, on aiohttp
devices, irrigation           the programs: field devices, and the app that decides when to water
process, loader               start a broker, load the seeds
dashboard, report             the output during the replay and at its end
story                         the whole demonstration
"""
