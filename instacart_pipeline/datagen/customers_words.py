"""The words of the generated thelook shop: what customers are called, what is sold, and by whom.

Belongs here: small tables written by hand; brands and names of products are invented. Doesn't: places (customers_places.py), shares of
behaviour (customers_habits.py).
"""

from __future__ import annotations

from typing import NamedTuple

FEMALE_NAMES = (
    *("Alice", "Amara", "Ana", "Beatriz", "Chloe", "Clara", "Daniela", "Elena", "Emma", "Fatima", "Grace", "Hana"),
    *("Ines", "Ivy", "Julia", "Keiko", "Laura", "Lin", "Maria", "Mei", "Nadia", "Nora", "Olivia", "Paula", "Rosa"),
    *("Sara", "Sofia", "Sun", "Tara", "Uma", "Vera", "Wen", "Xiu", "Yuna", "Zoe", "Kate", "Ruth", "Jane", "Lucy"),
)
MALE_NAMES = (
    *("Adam", "Andre", "Ben", "Bruno", "Carlos", "Chen", "Daniel", "David", "Diego", "Emil", "Felix", "George"),
    *("Hao", "Hugo", "Ian", "Ivan", "Jack", "Jin", "Jonas", "Jun", "Kenji", "Leo", "Liam", "Lucas", "Marc", "Martin"),
    *("Min", "Noah", "Omar", "Oscar", "Pablo", "Paul", "Rafael", "Sam", "Tom", "Victor", "Wei", "Yong", "Theo"),
)
LAST_NAMES = (
    *("Adams", "Almeida", "Baker", "Bauer", "Becker", "Brown", "Carter", "Chan", "Costa", "Dubois", "Evans", "Fischer"),
    *("Garcia", "Gomez", "Green", "Hall", "Hill", "Huang", "Ito", "Jansen", "Jones", "Kim", "King", "Kowalska"),
    *("Laurent", "Lee", "Li", "Lopez", "Martin", "Meyer", "Mori", "Murphy", "Nowak", "O'Brien", "Park", "Peeters"),
    *("Petit", "Reed", "Ribeiro", "Roux", "Ruiz", "Santos", "Sato", "Schmidt", "Silva", "Smith", "Souza", "Tanaka"),
    *("Taylor", "Torres", "Turner", "Vidal", "Walker", "Wang", "Weber", "White", "Wong", "Wright", "Xu", "Young"),
    *("Zhang", "Zhao", "Zimmer"),
)
STREETS = (
    *("Acacia Avenue", "Bridge Street", "Canal Road", "Castle Hill", "Cedar Lane", "Church Street", "Elm Court"),
    *("Garden Row", "Harbour Road", "High Street", "Lake Drive", "Linden Walk", "Market Square", "Mill Lane"),
    *("Oak Crescent", "Orchard Way", "Park Avenue", "River Road", "School Lane", "Station Road", "Valley View"),
)
MAIL_HOSTS = ("example.com", "example.net", "example.org")


class Category(NamedTuple):
    """What lies in a department: its part of the catalogue, the middle price in dollars, cost as a part of price, and the things."""

    name: str
    part: float
    price: float
    cost: float
    things: tuple[str, ...]


MEN = (
    Category("Jeans", 11, 78, 0.53, ("Straight Leg Jeans", "Slim Jeans", "Bootcut Jeans")),
    Category("Tops & Tees", 11, 34, 0.56, ("Crew Neck Tee", "Polo", "Henley", "Graphic Tee")),
    Category("Underwear", 11, 25, 0.47, ("Boxer Briefs", "Trunks", "Undershirt 3-Pack")),
    Category("Pants", 10, 50, 0.46, ("Chinos", "Cargo Pants", "Flat Front Trousers")),
    Category("Sweaters", 10, 60, 0.50, ("Cardigan", "V-Neck Sweater", "Roll Neck")),
    Category("Fashion Hoodies & Sweatshirts", 9, 52, 0.55, ("Zip Hoodie", "Pullover Hoodie", "Sweatshirt")),
    Category("Sleep & Lounge", 9, 37, 0.40, ("Pyjama Set", "Robe", "Lounge Pants")),
    Category("Shorts", 9, 44, 0.50, ("Board Shorts", "Chino Shorts", "Running Shorts")),
    Category("Swim", 9, 49, 0.60, ("Swim Trunks", "Rash Guard")),
    Category("Socks", 9, 15, 0.60, ("Ankle Socks", "Crew Socks 6-Pack", "Hiking Socks")),
    Category("Outerwear & Coats", 8, 110, 0.44, ("Parka", "Rain Jacket", "Pea Coat", "Down Vest")),
    Category("Accessories", 8, 25, 0.40, ("Belt", "Beanie", "Scarf", "Baseball Cap")),
    Category("Active", 7, 35, 0.42, ("Training Tee", "Track Pants", "Compression Top")),
    Category("Suits & Sport Coats", 7, 100, 0.40, ("Two-Button Suit", "Blazer", "Suit Vest")),
)
WOMEN = (
    Category("Intimates", 24, 28, 0.53, ("Bralette", "Camisole", "Slip", "Briefs 3-Pack")),
    Category("Dresses", 10, 59, 0.45, ("Wrap Dress", "Maxi Dress", "Shift Dress")),
    Category("Maternity", 9, 40, 0.44, ("Nursing Top", "Maternity Jeans", "Support Band")),
    Category("Swim", 9, 54, 0.42, ("Bikini Top", "One-Piece Swimsuit", "Cover-Up")),
    Category("Jeans", 9, 79, 0.54, ("Skinny Jeans", "Boyfriend Jeans", "Flared Jeans")),
    Category("Shorts", 8, 32, 0.50, ("Denim Shorts", "Linen Shorts")),
    Category("Sleep & Lounge", 8, 38, 0.60, ("Nightgown", "Pyjama Set", "Kimono Robe")),
    Category("Tops & Tees", 8, 30, 0.56, ("Blouse", "Tank Top", "Tunic")),
    Category("Plus", 8, 25, 0.50, ("Plus Tunic", "Plus Leggings")),
    Category("Sweaters", 7, 54, 0.45, ("Cardigan", "Cowl Neck Sweater", "Poncho")),
    Category("Accessories", 7, 23, 0.40, ("Silk Scarf", "Sun Hat", "Gloves", "Tote")),
    Category("Active", 7, 33, 0.42, ("Sports Bra", "Yoga Pants", "Running Top")),
    Category("Socks & Hosiery", 7, 14, 0.40, ("Tights", "Knee Socks", "No-Show Socks 4-Pack")),
    Category("Pants & Capris", 6, 40, 0.53, ("Capris", "Wide Leg Pants")),
    Category("Outerwear & Coats", 6, 105, 0.45, ("Trench Coat", "Puffer Jacket", "Wool Coat")),
    Category("Blazers & Jackets", 6, 60, 0.38, ("Blazer", "Denim Jacket", "Bolero")),
    Category("Leggings", 6, 17, 0.60, ("Leggings", "Jeggings")),
    Category("Skirts", 4, 37, 0.40, ("Pencil Skirt", "Pleated Skirt")),
    Category("Suits", 2, 122, 0.60, ("Pant Suit", "Skirt Suit")),
    Category("Jumpsuits & Rompers", 2, 25, 0.53, ("Jumpsuit", "Romper")),
)
DEPARTMENTS = (("Men", MEN), ("Women", WOMEN))

STYLES = (
    *("Classic", "Modern", "Relaxed", "Vintage", "Everyday", "Washed", "Striped", "Ribbed", "Quilted", "Cropped"),
    *("Organic", "Weekend", "Lightweight", "Brushed", "Printed", "Stretch", "Plaid", "Solid", "Two-Tone", "Essential"),
)
FABRICS = ("Cotton", "Linen", "Wool", "Merino", "Bamboo", "Fleece", "Jersey", "Twill", "Corduroy", "Silk Blend")
COLOURS = (
    *("Black", "White", "Navy", "Charcoal", "Olive", "Burgundy", "Sand", "Sky", "Rust", "Forest", "Rose", "Ivory"),
    *("Teal", "Plum", "Mustard"),
)
ENDINGS = ("", "", "", "", " (One Size)", " - Petite", ', 32" Inseam', ", Tall")
"""What may follow a product's name; commas and quotation marks are among it, as in real catalogues."""
BRAND_HEADS = (
    *("Alder", "Bexley", "Corran", "Dovern", "Ember", "Farrow", "Glenmor", "Hollis", "Isling", "Juno", "Kestrel"),
    *("Larch", "Maren", "Norwick", "Oberon", "Pell", "Quill", "Ravel", "Sable", "Tamsin", "Ulmer", "Vesper", "Wystan"),
    *("Yarrow", "Zephyr", "Orla's", "Brindle", "Cassia", "Dunmore", "Elowen"),
)
BRAND_TAILS = (
    *("", "& Co.", "& Daughters", "Apparel", "Athletic", "Brothers", "Clothiers", "Collective", "Denim", "Goods"),
    *("House", "Knitwear", "Label", "Made", "Mills", "North", "Outfitters", "Row", "Studio", "Supply", "Tailors"),
    *("Threads", "Union", "Works"),
)
