"""Before the sale: the pool, the register of units, a shutdown and its split, the issue."""


from yaosu.client import Sent

ENERGY = "/v1/energy"
FIRST = "pool"


def has_begun(sent: Sent) -> bool:
    """Whether the first command of the demonstration was answered in an earlier life."""
    return sent.answer(f"demo/{FIRST}/request") is not None
