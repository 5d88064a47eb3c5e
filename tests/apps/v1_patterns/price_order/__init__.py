from ..shared.orders import PRICES, Order


def main(order: Order) -> Order:
    return Order(order.item, order.quantity, round(PRICES[order.item] * order.quantity, 2))
