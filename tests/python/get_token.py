"""Runs `aws eks get-token` as if the clock stood still.

Usage: get_token.py EPOCH ARGUMENT..., with the arguments of `aws`.
"""

import datetime
import os
import sys

# As the command line is without its optional extra, which SAM brings into this environment: another signer, which
# orders the parameters of a URL differently.
os.environ["BOTO_DISABLE_CRT"] = "true"

# The command line puts a botocore of its own in place of the package.
import awscli.customizations.eks.get_token
import botocore.auth
from awscli.clidriver import main

NOW = datetime.datetime.fromtimestamp(int(sys.argv[1]), datetime.timezone.utc)


def fixed(remove_tzinfo=True):
    return NOW.replace(tzinfo=None) if remove_tzinfo else NOW


botocore.auth.get_current_datetime = fixed
awscli.customizations.eks.get_token.get_current_datetime = fixed
sys.argv = ["aws", *sys.argv[2:]]
sys.exit(main())
