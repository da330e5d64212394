#!/usr/bin/env python3
"""Records what `aws eks get-token` prints at a fixed clock: credentials are made up, nothing is sent.

Run with the Python that has awscli (1.45): python record.py > tokens.json
"""

import datetime
import json

import botocore.auth
import botocore.session
from awscli.customizations.eks.get_token import STSClientFactory, TokenGenerator

CLOCK = "2026-11-21T13:00:05+00:00"
PLAIN = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
SESSION = (
    "ASIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJ/+==~*()! '%&?#é" + "x" * 900,
)
CASES = [
    ("us-west-2", "prod", PLAIN),
    ("us-east-1", "prod", SESSION),
    ("eu-central-1", "a-cluster_with.ODD-name-0", SESSION),
    ("cn-north-1", "china", PLAIN),
    ("us-gov-west-1", "gov", SESSION),
    ("us-iso-east-1", "iso", PLAIN),
    ("us-isob-east-1", "isob", PLAIN),
    ("eusc-de-east-1", "sovereign", SESSION),
]


def token(region, cluster, credentials):
    fixed = datetime.datetime.fromisoformat(CLOCK)
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: fixed.replace(tzinfo=None) if remove_tzinfo else fixed
    session = botocore.session.Session()
    session.set_credentials(*credentials)
    client = STSClientFactory(session).get_sts_client(region_name=region)
    return TokenGenerator(client).get_token(cluster)


print(json.dumps([
    {"region": region, "cluster": cluster, "time": CLOCK, "accessKey": key[0], "secretKey": key[1],
     "sessionToken": key[2], "token": token(region, cluster, key)}
    for region, cluster, key in CASES
], indent=1, ensure_ascii=False))
