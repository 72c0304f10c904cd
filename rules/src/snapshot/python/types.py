# Made by every build: changes to this file are lost.
from dataclasses import dataclass
from typing import Generic, TypeVar, Union

S = TypeVar("S")
T = TypeVar("T")
E = TypeVar("E")


@dataclass
class Some(Generic[S]):
    """A value that is there, where not being there is itself a value: in an option of an option."""

    value: S


@dataclass
class Ok(Generic[T]):
    """A result that went well."""

    value: T


@dataclass(frozen=True)
class Err(Generic[E], Exception):
    """A result that did not. A function of the world that fails is one that raises this."""

    value: E


Result = Union[Ok[T], Err[E]]
