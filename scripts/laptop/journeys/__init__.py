"""What the demo does, in order. A part of the shop comes with its journey here and goes with it."""

from collections.abc import Callable

from scripts.laptop.demo import Shop, Story
from scripts.laptop.journeys.images import show_the_goods
from scripts.laptop.journeys.integrations import ask_the_partner
from scripts.laptop.journeys.mailings import write_to_readers
from scripts.laptop.journeys.orders import fulfil_orders
from scripts.laptop.journeys.payments import take_payments
from scripts.laptop.journeys.reports import close_the_books

JOURNEYS: tuple[Callable[[Shop], Story], ...] = (
    show_the_goods,
    take_payments,
    fulfil_orders,
    write_to_readers,
    ask_the_partner,
    close_the_books,
)
