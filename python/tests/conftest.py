"""Fixtures: most tests run against spead2 and against speadway, which have to do the same."""

import importlib
import types

import pytest


class Library:
    """A module and its submodules, whichever implementation it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = importlib.import_module(name)

    @property
    def is_ours(self) -> bool:
        return self.name == "speadway"

    def __getattr__(self, name: str) -> object:
        return getattr(self.root, name)

    def module(self, name: str) -> types.ModuleType:
        """A submodule: `module("recv.asyncio")`."""
        return importlib.import_module(f"{self.name}.{name}")

    @property
    def recv(self) -> types.ModuleType:
        return self.module("recv")

    @property
    def send(self) -> types.ModuleType:
        return self.module("send")


@pytest.fixture(params=["spead2", "speadway"])
def lib(request: pytest.FixtureRequest) -> Library:
    """The implementation under test; the published spead2 shows what is right."""
    return Library(request.param)


@pytest.fixture
def ours() -> Library:
    """For what only speadway has."""
    return Library("speadway")
