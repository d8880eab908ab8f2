"""A named collection of classes or functions: graph sources, filters, models, metrics."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from gnnvcell.errors import ConfigError, did_you_mean

T = TypeVar("T")
Item = TypeVar("Item")  # the decorated class keeps its own type, so that its arguments are checked


class Registry(Generic[T]):
    """Names to objects; an unknown name is an error that shows the nearest one.

    Args:
        kind: what the objects are, for error messages ("model", "graph source").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[Item], Item]:
        """Decorator that files an object under one or more names.

        Raises:
            ConfigError: no name, or a name is taken by another object; nothing is filed then.
        """
        if not names:
            raise ConfigError(f"a {self.kind} is registered without a name", remedy='write @register("name")')

        def add(item: Item) -> Item:
            taken = [name for name in names if self._items.get(name, item) is not item]
            if taken:
                raise ConfigError(f"the {self.kind} name {taken[0]!r} is already taken", remedy="choose another name")
            self._items.update(dict.fromkeys(names, item))  # type: ignore[arg-type]
            return item

        return add

    def get(self, name: str) -> T:
        """The object of that name.

        Raises:
            ConfigError: no object has that name.
        """
        if name not in self._items:
            raise ConfigError(f"unknown {self.kind} {name!r}", remedy=did_you_mean(name, self._items))
        return self._items[name]

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)
