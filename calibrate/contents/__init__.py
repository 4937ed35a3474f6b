"""What a file holds, and what is wrong with it: for people, before they calibrate with it."""

from calibrate.contents.examine import examine
from calibrate.contents.finding import Contents

__all__ = ["Contents", "examine"]
