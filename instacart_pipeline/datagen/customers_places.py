"""The places of the generated thelook shop: its distribution centres, and the cities where customers live.

Belongs here: tables written by hand of real places with their true coordinates, degrees north and east. Doesn't: who lives where
(customers_people.py).
"""

from __future__ import annotations

from typing import NamedTuple


class Center(NamedTuple):
    """A distribution centre; its id is its place in CENTERS, from 1."""

    name: str
    latitude: float
    longitude: float


CENTERS: tuple[Center, ...] = (
    Center("Memphis TN", 35.1174, -89.9711),
    Center("Chicago IL", 41.8369, -87.6847),
    Center("Houston TX", 29.7604, -95.3698),
    Center("Los Angeles CA", 34.05, -118.25),
    Center("New Orleans LA", 29.95, -90.0667),
    Center("Port Authority of New York/New Jersey NY/NJ", 40.634, -73.7834),
    Center("Philadelphia PA", 39.95, -75.1667),
    Center("Mobile AL", 30.6944, -88.0431),
    Center("Charleston SC", 32.7833, -79.9333),
    Center("Savannah GA", 32.0167, -81.1167),
)


class City(NamedTuple):
    """A city: two digits from 10 to 99 after `postal` make a postal code; `people` weighs it within its country."""

    name: str
    state: str
    latitude: float
    longitude: float
    postal: str
    people: float


class Country(NamedTuple):
    """A country by thelook's name, and its percentage of customers."""

    name: str
    share: float
    cities: tuple[City, ...]


COUNTRIES: tuple[Country, ...] = (
    Country(
        "China",
        33.0,
        (
            City("Shanghai", "Shanghai", 31.2304, 121.4737, "2000", 24),
            City("Beijing", "Beijing", 39.9042, 116.4074, "1000", 21),
            City("Guangzhou", "Guangdong", 23.1291, 113.2644, "5100", 15),
            City("Shenzhen", "Guangdong", 22.5431, 114.0579, "5180", 13),
            City("Chengdu", "Sichuan", 30.5728, 104.0668, "6100", 12),
            City("Tianjin", "Tianjin", 39.3434, 117.3616, "3000", 11),
            City("Wuhan", "Hubei", 30.5928, 114.3055, "4300", 10),
            City("Xi'an", "Shaanxi", 34.3416, 108.9398, "7100", 9),
            City("Hangzhou", "Zhejiang", 30.2741, 120.1551, "3100", 9),
            City("Nanjing", "Jiangsu", 32.0603, 118.7969, "2100", 8),
            City("Jinan", "Shandong", 36.6512, 117.1201, "2500", 7),
            City("Zhengzhou", "Henan", 34.7466, 113.6254, "4500", 7),
            City("Shijiazhuang", "Hebei", 38.0428, 114.5149, "0500", 5),
        ),
    ),
    Country(
        "United States",
        22.5,
        (
            City("New York", "New York", 40.7128, -74.0060, "100", 19),
            City("Los Angeles", "California", 34.0522, -118.2437, "900", 13),
            City("Chicago", "Illinois", 41.8781, -87.6298, "606", 9),
            City("Houston", "Texas", 29.7604, -95.3698, "770", 7),
            City("Dallas", "Texas", 32.7767, -96.7970, "752", 7),
            City("Philadelphia", "Pennsylvania", 39.9526, -75.1652, "191", 6),
            City("Atlanta", "Georgia", 33.7490, -84.3880, "303", 6),
            City("Miami", "Florida", 25.7617, -80.1918, "331", 6),
            City("Boston", "Massachusetts", 42.3601, -71.0589, "021", 5),
            City("San Francisco", "California", 37.7749, -122.4194, "941", 5),
            City("Phoenix", "Arizona", 33.4484, -112.0740, "850", 5),
            City("Detroit", "Michigan", 42.3314, -83.0458, "482", 4),
            City("Seattle", "Washington", 47.6062, -122.3321, "981", 4),
            City("Minneapolis", "Minnesota", 44.9778, -93.2650, "554", 4),
            City("Denver", "Colorado", 39.7392, -104.9903, "802", 3),
            City("Charlotte", "North Carolina", 35.2271, -80.8431, "282", 3),
            City("Columbus", "Ohio", 39.9612, -82.9988, "432", 2),
            City("Nashville", "Tennessee", 36.1627, -86.7816, "372", 2),
            City("New Orleans", "Louisiana", 29.9511, -90.0715, "701", 1),
        ),
    ),
    Country(
        "Brasil",
        14.5,
        (
            City("São Paulo", "São Paulo", -23.5505, -46.6333, "010", 22),
            City("Rio de Janeiro", "Rio de Janeiro", -22.9068, -43.1729, "200", 13),
            City("Belo Horizonte", "Minas Gerais", -19.9167, -43.9345, "301", 6),
            City("Salvador", "Bahia", -12.9777, -38.5016, "400", 5),
            City("Fortaleza", "Ceará", -3.7319, -38.5267, "600", 4),
            City("Porto Alegre", "Rio Grande do Sul", -30.0346, -51.2177, "900", 4),
            City("Curitiba", "Paraná", -25.4290, -49.2671, "800", 4),
            City("Recife", "Pernambuco", -8.0476, -34.8770, "500", 4),
            City("Manaus", "Amazonas", -3.1190, -60.0217, "690", 2),
        ),
    ),
    Country(
        "South Korea",
        5.5,
        (
            City("Seoul", "Seoul", 37.5665, 126.9780, "045", 10),
            City("Busan", "Busan", 35.1796, 129.0756, "486", 4),
            City("Incheon", "Incheon", 37.4563, 126.7052, "215", 3),
            City("Daegu", "Daegu", 35.8714, 128.6014, "419", 2),
        ),
    ),
    Country(
        "France",
        4.8,
        (
            City("Paris", "Île-de-France", 48.8566, 2.3522, "750", 11),
            City("Lyon", "Auvergne-Rhône-Alpes", 45.7640, 4.8357, "690", 3),
            City("Marseille", "Provence-Alpes-Côte d'Azur", 43.2965, 5.3698, "130", 3),
            City("Toulouse", "Occitanie", 43.6047, 1.4442, "310", 2),
            City("Lille", "Hauts-de-France", 50.6292, 3.0573, "590", 2),
        ),
    ),
    Country(
        "United Kingdom",
        4.7,
        (
            City("London", "England", 51.5074, -0.1278, "SE", 9),
            City("Birmingham", "England", 52.4862, -1.8904, "B", 3),
            City("Manchester", "England", 53.4808, -2.2426, "M", 3),
            City("Glasgow", "Scotland", 55.8642, -4.2518, "G", 2),
            City("Leeds", "England", 53.8008, -1.5491, "LS", 2),
            City("Cardiff", "Wales", 51.4816, -3.1791, "CF", 1),
        ),
    ),
    Country(
        "Germany",
        4.3,
        (
            City("Berlin", "Berlin", 52.5200, 13.4050, "101", 4),
            City("Hamburg", "Hamburg", 53.5511, 9.9937, "203", 2),
            City("München", "Bayern", 48.1351, 11.5820, "803", 2),
            City("Köln", "Nordrhein-Westfalen", 50.9375, 6.9603, "506", 2),
            City("Frankfurt am Main", "Hessen", 50.1109, 8.6821, "603", 1),
        ),
    ),
    Country(
        "Spain",
        4.0,
        (
            City("Madrid", "Comunidad de Madrid", 40.4168, -3.7038, "280", 6),
            City("Barcelona", "Cataluña", 41.3874, 2.1686, "080", 5),
            City("Valencia", "Comunidad Valenciana", 39.4699, -0.3763, "460", 2),
            City("Sevilla", "Andalucía", 37.3891, -5.9845, "410", 2),
        ),
    ),
    Country(
        "Japan",
        2.4,
        (
            City("Tokyo", "Tokyo", 35.6762, 139.6503, "100-00", 14),
            City("Osaka", "Osaka", 34.6937, 135.5023, "530-00", 6),
            City("Nagoya", "Aichi", 35.1815, 136.9066, "460-00", 3),
            City("Sapporo", "Hokkaido", 43.0618, 141.3545, "060-00", 2),
            City("Fukuoka", "Fukuoka", 33.5902, 130.4017, "810-00", 2),
        ),
    ),
    Country(
        "Australia",
        2.2,
        (
            City("Sydney", "New South Wales", -33.8688, 151.2093, "20", 5),
            City("Melbourne", "Victoria", -37.8136, 144.9631, "30", 5),
            City("Brisbane", "Queensland", -27.4698, 153.0251, "40", 3),
            City("Perth", "Western Australia", -31.9505, 115.8605, "60", 2),
            City("Adelaide", "South Australia", -34.9285, 138.6007, "50", 1),
        ),
    ),
    Country(
        "Belgium",
        1.4,
        (
            City("Bruxelles", "Bruxelles-Capitale", 50.8503, 4.3517, "10", 3),
            City("Antwerpen", "Vlaanderen", 51.2194, 4.4025, "20", 2),
            City("Liège", "Wallonie", 50.6326, 5.5797, "40", 1),
        ),
    ),
    Country(
        "Poland",
        0.7,
        (
            City("Warszawa", "Mazowieckie", 52.2297, 21.0122, "00-0", 3),
            City("Kraków", "Małopolskie", 50.0647, 19.9450, "30-0", 1),
            City("Gdańsk", "Pomorskie", 54.3520, 18.6466, "80-0", 1),
        ),
    ),
)
