"""What decides the value of a feature, and the hash that a bundle and a feature table must share."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from emocore.errors import UserError
from emocore.media.audio import Level

# What a model reads: the 160 columns [n, 160], MFCC frames [n, 157, 39], or pictures uint8[n, pixels, pixels].
Inputs = Literal["columns", "frames", "pictures"]


@dataclass(frozen=True)
class FeatureConfig:
    """How a signal becomes features: two tables with equal hashes may be joined, a bundle asks for its own."""

    sample_rate_hz: int = 22_050
    level: Level = "as-is"

    def __post_init__(self) -> None:
        if not 4_000 <= self.sample_rate_hz <= 192_000:
            raise UserError(
                f"The sample rate must be from 4,000 to 192,000 Hz: got {self.sample_rate_hz}; 22,050 is the article's."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return dataclasses.asdict(self)

    def hash(self) -> str:
        """Return 16 hexadecimal digits that name the features' definition.

        >>> FeatureConfig().hash() == FeatureConfig(level="peak").hash()
        False
        """
        text = json.dumps({"family": "article-160", **self.to_json()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
