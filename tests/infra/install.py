"""Makes the stack of infra/template.yaml on the CloudFormation at AWS_ENDPOINT_URL (moto), translated as SAM does.

Usage: install.py TEMPLATE NAME PARAMETER=VALUE...
"""

import json
import os
import sys

import boto3

from deploy import PARAMETERS, SECRETS, translate


def main():
    path, name, *given = sys.argv[1:]
    template = translate(path)
    # moto has no function URLs, so nothing can be printed of one.
    del template["Outputs"]["WebhookUrl"]
    boto3.client("s3").create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_DEFAULT_REGION"]})
    boto3.client("s3").put_object(Bucket="code", Key="function.zip", Body=b"PK\x05\x06" + bytes(18))
    parameters = PARAMETERS | SECRETS | dict(one.split("=", 1) for one in given)
    boto3.client("cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()])


main()
