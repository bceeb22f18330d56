"""Co-verification: RTL against the golden machine, the golden graph and the outside reference."""

from hwgen.verify.flow import verify
from hwgen.verify.result import LayerResult, VerifyResult

__all__ = ["LayerResult", "VerifyResult", "verify"]
