"""For those who write losses and plugins: a registry for tests. Importing this imports no torch."""

from lossdsl.registry.discover import temporary_registry as registry

__all__ = ["registry"]
