"""The places of the story: Saint-Quentin's parks, streets and car parks, as tables.

The places are real and their coordinates approximate; areas, zones and equipment are invented.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]  # longitude, latitude


@dataclass(frozen=True)
class Zone:
    """A part of a park that one valve waters."""

    slug: str
    name: str
    category: str
    area: int  # square metres
    crop: float  # FAO crop coefficient: water use, relative to a lawn in full sun
    moisture: float  # volumetric water content at the start of the story


@dataclass(frozen=True)
class Park:
    """A green space, its street and its irrigated zones."""

    slug: str
    name: str
    english: str
    street: str
    at: Point
    zones: tuple[Zone, ...]


PARKS = (
    Park(
        "ChampsElysees",
        "Parc des Champs-Élysées",
        "Champs-Élysées park",
        "Rue de Baudreuil",
        (3.2945, 49.8490),
        (
            Zone("Platanes", "Allée des platanes", "lawn", 2400, 0.80, 0.262),
            Zone("Horticulture", "Jardin d'horticulture", "flowers", 1500, 1.05, 0.224),
            Zone("Kiosque", "Pelouse du kiosque à musique", "lawn", 1800, 1.00, 0.243),
            Zone("JeuDePaume", "Abords du jeu de paume", "lawn", 1200, 0.90, 0.256),
            Zone("Enfants", "Jardin d'enfants", "lawn", 900, 0.95, 0.231),
        ),
    ),
    Park(
        "ParcIsle",
        "Parc d'Isle",
        "Isle park",
        "Avenue Léo-Lagrange",
        (3.3035, 49.8435),
        (
            Zone("Medicinales", "Jardin des plantes médicinales", "flowers", 600, 0.95, 0.249),
            Zone("Environnement", "Pelouse de la Maison de l'environnement", "lawn", 2000, 0.90, 0.270),
            Zone("PiqueNique", "Aire de pique-nique", "lawn", 1600, 0.95, 0.258),
            Zone("Ferme", "Abords de la ferme", "meadow", 1100, 0.75, 0.239),
        ),
    ),
    Park(
        "Basilique",
        "Jardins de la Basilique",
        "Basilica gardens",
        "Place de la Basilique",
        (3.2903, 49.8479),
        (
            Zone("Parvis", "Massifs du parvis", "flowers", 350, 1.10, 0.227),
            Zone("Chevet", "Pelouse du chevet", "lawn", 700, 0.85, 0.266),
        ),
    ),
    Park(
        "HotelDeVille",
        "Place de l'Hôtel de Ville",
        "Town Hall square",
        "Place de l'Hôtel de Ville",
        (3.2876, 49.8466),
        (
            Zone("Nord", "Massifs nord", "flowers", 220, 1.15, 0.241),
            Zone("Sud", "Massifs sud", "flowers", 240, 1.15, 0.268),
        ),
    ),
    Park(
        "Canal",
        "Berges du canal de Saint-Quentin",
        "Banks of the Saint-Quentin canal",
        "Quai Gayant",
        (3.2945, 49.8412),
        (
            Zone("QuaiGayant", "Pelouse du quai Gayant", "lawn", 1300, 1.00, 0.246),
            Zone("HuitOctobre", "Place du 8-Octobre", "flowers", 450, 1.10, 0.222),
            Zone("Port", "Abords du port de plaisance", "meadow", 900, 0.80, 0.272),
        ),
    ),
    Park(
        "StadeDebresie",
        "Stade Paul-Debrésie",
        "Paul Debrésie stadium",
        "Quartier nord",
        (3.2765, 49.8565),
        (
            Zone("Honneur", "Terrain d'honneur", "pitch", 7000, 1.00, 0.234),
            Zone("EntrainementEst", "Terrain d'entraînement est", "pitch", 6400, 1.00, 0.251),
            Zone("EntrainementOuest", "Terrain d'entraînement ouest", "pitch", 6400, 1.00, 0.265),
            Zone("Abords", "Abords du stade", "lawn", 1500, 0.90, 0.260),
        ),
    ),
)

STREETS: tuple[tuple[str, str, Point, Point], ...] = (
    ("RueIsle", "Rue d'Isle", (3.2885, 49.8460), (3.2925, 49.8425)),
    ("BoulevardGambetta", "Boulevard Gambetta", (3.2920, 49.8502), (3.2975, 49.8478)),
    ("RueSellerie", "Rue de la Sellerie", (3.2878, 49.8470), (3.2897, 49.8477)),
    ("BoulevardHenriMartin", "Boulevard Henri-Martin", (3.2835, 49.8490), (3.2846, 49.8442)),
    ("AvenueLeoLagrange", "Avenue Léo-Lagrange", (3.2985, 49.8432), (3.3040, 49.8425)),
)

PARKINGS: tuple[tuple[str, str, str, int, Point], ...] = (
    ("HotelDeVille", "Parking de l'Hôtel de Ville", "Town Hall car park", 320, (3.2869, 49.8463)),
    ("Basilique", "Parking de la Basilique", "Basilica car park", 85, (3.2911, 49.8473)),
    ("Gare", "Parking de la Gare", "Station car park", 410, (3.2930, 49.8398)),
    ("ParcIsle", "Parking du Parc d'Isle", "Isle park car park", 150, (3.3022, 49.8429)),
)
