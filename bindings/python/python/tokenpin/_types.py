"""Errors and records that the compiled part makes."""

from typing import NamedTuple, Optional, Union

from ._enums import Field, Group, Ids, KeyKind, State, Status
from ._limits import MAX_WEIGHT


class Error(ValueError):
    """Refuses an argument. Nothing has changed when it is raised."""

    status: Status
    """Which error it is. Its value is the stable name."""
    text: str
    """A sentence that says what is wrong."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(status, text)
        self.status, self.text = Status(status), text

    def __str__(self) -> str:
        return "%s: %s" % (self.status, self.text)


class ConfigError(Error):
    """Why a configuration was refused, and where."""

    field: Field
    """The part of the configuration."""
    index: int
    """The position within it, 0 for single values."""

    def __init__(self, status: str, text: str, field: str, index: int) -> None:
        super().__init__(status, text)
        self.args = (status, text, field, index)
        self.field, self.index = Field(field), index

    def __str__(self) -> str:
        return "%s[%d]: %s" % (self.field, self.index, super().__str__())


class Slot(NamedTuple):
    """A slot of a configuration."""

    identity: Optional[Union[bytes, str]]
    """The name of the account, which outlives its secret; None for a vacant slot."""
    state: str = State.UP
    weight: int = MAX_WEIGHT
    until: int = 0
    """The unix second from which a slot that is draining or down counts as up again; 0 for never.
    """


class SlotStatus(NamedTuple):
    """State, weight and until of a slot at one moment. Change one with `_replace`, and keep the
    others.
    """

    state: str = State.UP
    weight: int = MAX_WEIGHT
    until: int = 0


class Rule(NamedTuple):
    """A row of a classification table."""

    pattern: Union[bytes, str]
    group: str = Group.STATEFUL
    ids: str = Ids.NONE


class IdField(NamedTuple):
    """A key that is read for ids, in addition to the default ones."""

    name: Union[bytes, str]
    kind: str = KeyKind.ID
