"""`pytest --lossdsl PACKAGE`: test every loss of an installed package against every rule.

This module is outside of the package, so that a run of pytest without the option does not import lossdsl.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("lossdsl").addoption(
        "--lossdsl",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="try the losses of this distribution or namespace against the rules of lossdsl.testing",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    for package in config.getoption("--lossdsl"):
        items.extend(_tests(session, package))


def _tests(session: pytest.Session, package: str) -> list[pytest.Item]:
    import lossdsl.testing

    names = lossdsl.testing.names(package)
    if not names:
        raise pytest.UsageError(f"--lossdsl {package}: no distribution or namespace of this name brings losses")
    tests: list[pytest.Item] = []
    for name in names:
        try:
            rules: tuple[str, ...] = lossdsl.testing.rules_for(name)
        except (lossdsl.LossError, AssertionError):
            rules = ("loads",)  # fails when it runs, with the reason
        tests += [Conformance.from_parent(session, name=f"{name}[{rule}]", loss=name, rule=rule) for rule in rules]
    return tests


class Conformance(pytest.Item):
    """The test of one loss against one rule."""

    def __init__(self, *, loss: str, rule: str, **known: object):
        super().__init__(**known)  # type: ignore[arg-type]
        self.loss, self.rule = loss, rule

    def runtest(self) -> None:
        import lossdsl.testing

        lossdsl.testing.check_loss(self.loss, rules=[] if self.rule == "loads" else [self.rule])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:  # type: ignore[override]
        return str(excinfo.value)

    def reportinfo(self) -> tuple[str, None, str]:
        return "lossdsl", None, self.name
