"""Reads a samconfig.toml as `sam deploy` does, and prints what it makes of it as JSON.

Usage: samconfig.py FOLDER
"""

import json
import sys
from pathlib import Path

from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig

config = SamConfig(Path(sys.argv[1]))
found = dict(config.get_all(["deploy"], "parameters", "default"))
found["parameter_overrides"] = CfnParameterOverridesType().convert(found["parameter_overrides"], None, None)
print(json.dumps(found))
