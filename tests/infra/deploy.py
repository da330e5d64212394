"""Translates infra/template.yaml as SAM does, deploys it on the CloudFormation at AWS_ENDPOINT_URL (moto) and checks what stands there.

Usage: deploy.py TEMPLATE. Prints one line a check; exits with 1 at the first that does not hold.
"""

import json
import os
import re
import sys
from pathlib import Path

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

PARAMETERS = {"Root": "https://github.com/acme/gitops//apps?ref=main", "ClusterName": "prod"}
# moto's CloudFormation makes no secrets.
SECRETS = {"WebhookSecret": "slipway/webhook", "StateSecret": "slipway/state"}
# The managed policies that SAM attaches by itself; their real ARNs come from IAM, which moto need not have.
POLICIES = {
    name: f"arn:aws:iam::aws:policy/service-role/{name}"
    for name in ("AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AWSLambdaSQSQueueExecutionRole")
}


def check(what, holds, seen=""):
    print(("ok   " if holds else "FAIL ") + what + ("" if holds else f": {seen}"))
    if not holds:
        sys.exit(1)


def translate(path):
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://code/function.zip"
    return Translator(POLICIES, Parser()).translate(template, dict(PARAMETERS))


def check_template(template):
    """What moto passes over is checked on the translated template."""
    resources = template["Resources"]
    by_type = {}
    for name, resource in resources.items():
        by_type.setdefault(resource["Type"], []).append((name, resource.get("Properties", {})))

    functions = dict(by_type["AWS::Lambda::Function"])
    names = ["DriftCheck", "EcrPush", "GitHubWebhook", "SyncWorker"]
    check("the functions", sorted(functions) == names, sorted(functions))
    for name, function in functions.items():
        check(f"{name} runs on arm64, provided.al2023",
              (function["Architectures"], function["Runtime"]) == (["arm64"], "provided.al2023"), function)
    check("the recursion guard is off for the worker", functions["SyncWorker"].get("RecursiveLoop") == "Allow")

    actions = sorted(p["Action"] for _, p in by_type["AWS::Lambda::Permission"] if p.get("Principal") == "*")
    check("both permissions for the URL", actions == ["lambda:InvokeFunction", "lambda:InvokeFunctionUrl"], actions)
    check("the URL takes unsigned requests", [p["AuthType"] for _, p in by_type["AWS::Lambda::Url"]] == ["NONE"])

    defaults = {name: p.get("Default") for name, p in template["Parameters"].items()}
    sources = [source for _, source in by_type["AWS::Lambda::EventSourceMapping"]]
    check("partial batch failures", all(one["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for one in sources), sources)
    reserved = {name: f.get("ReservedConcurrentExecutions") for name, f in functions.items()}
    check("the URL and the worker have their own concurrency",
          [reserved[name]["Fn::If"][:2] for name in ("GitHubWebhook", "SyncWorker")] ==
          [["HasUrlConcurrency", {"Ref": "UrlConcurrency"}], ["HasSyncConcurrency", {"Ref": "SyncConcurrency"}]], reserved)
    url, worker = (functions[name]["Environment"]["Variables"] for name in ("GitHubWebhook", "SyncWorker"))
    check("the URL has no setting of the worker", (url["SLIPWAY_ROOT"], url["SLIPWAY_GITHUB_SECRET"]) == ("", "") and
          not {"SLIPWAY_STATE_SECRET", "SLIPWAY_CLUSTER", "SLIPWAY_KUBECONFIG"} & set(url), url)
    check("the worker has no webhook secret", "SLIPWAY_WEBHOOK_SECRET" not in worker, worker)
    made = {name: resources[name] for name, _ in by_type["AWS::SecretsManager::Secret"]}
    lengths = {name: one["Properties"]["GenerateSecretString"]["PasswordLength"] for name, one in made.items()}
    check("the secrets that nobody has to know are made", lengths == {"OwnWebhookSecret": 40, "OwnStateSecret": 64}, lengths)
    check("the key of the state outlives the stack", made["OwnStateSecret"]["DeletionPolicy"] == "Retain", made)
    use = {"SLIPWAY_WEBHOOK_SECRET": url, "SLIPWAY_STATE_SECRET": worker}
    used = {name: variables[name]["Fn::If"][1] for name, variables in use.items()}
    check("and used", list(used.values()) == [{"Ref": "OwnWebhookSecret"}, {"Ref": "OwnStateSecret"}], used)
    alarms = {name: p for name, p in by_type["AWS::CloudWatch::Alarm"]}
    check("a check that does not run is told", alarms["DriftCheckAlarm"]["TreatMissingData"] == "breaching", alarms)

    check("two stacks have no name in common", not [p for _, p in by_type["AWS::Scheduler::Schedule"] if "Name" in p])
    schedules = [p["ScheduleExpression"] for _, p in by_type["AWS::Scheduler::Schedule"]]
    check("the schedules", sorted(map(str, schedules)) == [str({"Ref": n}) for n in ("CatchUpSchedule", "DriftSchedule")], schedules)
    roles = sorted(p["PrincipalArn"]["Fn::GetAtt"][0] for _, p in by_type["AWS::EKS::AccessEntry"])
    check("the cluster knows both roles", roles == ["DriftCheckRole", "SyncWorkerRole"], roles)

    attached = {name: role.get("ManagedPolicyArns", []) for name, role in by_type["AWS::IAM::Role"]}
    always = {str(arn) for arns in attached.values() for arn in arns if "Fn::If" not in arn and "VPCAccess" in str(arn)}
    check("nobody makes network interfaces without a VPC", not always, always)
    bounded = [name for name, role in by_type["AWS::IAM::Role"] if "PermissionsBoundary" in role]
    check("the boundary bounds the roles", len(bounded) == 5, bounded)

    # What depends on a parameter counts.
    statements = lambda policy: [given.get("Fn::If", [None, given])[1] for given in policy["PolicyDocument"]["Statement"]]
    may = {name: sorted(action for policy in role["Policies"] for statement in statements(policy)
                        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]))
           for name, role in by_type["AWS::IAM::Role"] if "Policies" in role}
    check("what the public reaches may queue and read one secret",
          may["GitHubWebhookRole"] == ["kms:Decrypt", "secretsmanager:GetSecretValue", "sqs:SendMessage"], may)

    documented = {}
    with open(Path(__file__).parents[2] / ".github/SECURITY.md", encoding="utf-8") as file:
        for row in re.findall(r"^\| `(\w+Role)` \| (.*?) \|", file.read(), re.MULTILINE):
            documented[row[0]] = re.findall(r"`(\w+:\w+)`", row[1])
    expected = {name: sorted(set(actions)) for name, actions in may.items()}
    check("SECURITY.md has what each role may do", documented == expected, expected)

    check_calls({action for actions in may.values() for action in actions})

    for name, role in by_type["AWS::IAM::Role"]:
        for policy in role.get("Policies", []):
            for statement in statements(policy):
                # AWS has no resource for the log-in at ECR: which repositories may be read, another statement says.
                is_bounded = statement.get("Resource") != "*" or statement.get("Action") == "ecr:GetAuthorizationToken"
                check(f"{name} may not do everything", is_bounded and statement.get("Action") != "*", statement)


# What AWS does in the name of a role: Lambda takes messages from queues, Scheduler starts functions and is passed a role, and ECR's
# registry API (tags/list, manifests, blobs) asks for the rights of ECR's own.
BY_AWS = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "lambda:InvokeFunction", "iam:PassRole",
          "ecr:ListImages", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
# Requests that the code signs itself, by what they have in it; services by the prefix of a target.
SIGNED = {'format!("/clusters/{}"': "eks:DescribeCluster", 'format!("/schedules/{}"': "scheduler:CreateSchedule",
          "AssumeRoleProvider::builder": "sts:AssumeRole"}
TARGETS = {"AmazonSSM": "ssm", "secretsmanager": "secretsmanager", "TrentService": "kms"}


def called():
    """The actions that the code of the functions calls; what the command line calls, its user has to be allowed."""
    files = [file for file in Path(__file__).parents[2].glob("shared/**/*.rs") if not {"tests", "sandbox"} & set(file.parts)]
    code = "".join(file.read_text(encoding="utf-8").split("#[cfg(test)]\nmod tests {")[0] for file in files if file.name != "tests.rs")
    actions = {action for text, action in SIGNED.items() if text in code}
    actions |= {f"{TARGETS[prefix]}:{name}" for prefix, name in re.findall(r'"([A-Za-z]+)\.([A-Z][A-Za-z]+)"', code) if prefix in TARGETS}
    methods = set(re.findall(r"\.([a-z_]+)\(\)", code))
    for service in set(re.findall(r"\baws_sdk_(\w+)::", code)):
        names = boto3.client(service).meta.method_to_api_mapping
        actions |= {f"{service}:{names[method]}" for method in methods & set(names)}
    return actions


def check_calls(allowed):
    """Whatever is called is allowed, and whatever is allowed is called, by the code or by AWS."""
    calls = called()
    check("the calls are found", len(calls) >= 10, calls)
    check("what is called is allowed", calls <= allowed, calls - allowed)
    check("what is allowed is called", allowed <= calls | BY_AWS, allowed - calls - BY_AWS)


# What does not go together, and what it has to be told as; each pair is refused whichever half is given.
PAIRS = [("SlackSecret", "SlackChannel"), ("ClusterEndpoint", "ClusterCa"), ("VpcSubnetIds", "VpcSecurityGroupIds")]


def holds(condition, values):
    """What CloudFormation makes of a rule's condition; https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-rules.html."""
    if not isinstance(condition, dict):
        return condition
    (function, given), = condition.items()
    if function == "Ref":
        return values[given]
    given = [holds(one, values) for one in given]
    match function:
        case "Fn::And":
            return all(given)
        case "Fn::Or":
            return any(given)
        case "Fn::Not":
            return not given[0]
        case "Fn::Equals":
            return str(given[0]) == str(given[1])
        case "Fn::EachMemberEquals":
            return all(one == given[1] for one in given[0].split(","))
    raise ValueError(f"a rule has no {function}")


def check_rules(template):
    """Which parameters are refused before anything is made; moto does not look at rules."""
    defaults = {name: p.get("Default", "x") for name, p in template["Parameters"].items()}

    def refused(**given):
        assertions = [one for rule in template["Rules"].values() for one in rule["Assertions"]]
        return [one["AssertDescription"] for one in assertions if not holds(one["Assert"], defaults | given)]

    check("the defaults go together", refused() == [], refused())
    for one, other in PAIRS:
        told = [f"{one} and {other} go together."]
        check(f"{one} needs {other}", refused(**{one: "a,b"}) == told, refused(**{one: "a,b"}))
        check(f"{other} needs {one}", refused(**{other: "a"}) == told, refused(**{other: "a"}))
        both = refused(**{one: "a,b", other: "a"})
        check("both are taken", both == [], both)
    concurrency = [len(refused(SyncConcurrency=n)) for n in (0, 1, 2)]
    check("SQS takes two or more at once", concurrency == [0, 1, 0], concurrency)
    check("every rule is checked here", len(template["Rules"]) == len(PAIRS) + 1, template["Rules"].keys())


def check_dashboard(template):
    """The dashboard shows every function, queue and log of the stack."""
    body = template["Resources"]["StackDashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(body)["widgets"]
    places = [(one["x"], one["y"]) for one in widgets]
    check("no widget hides another", len(set(places)) == len(places) == 6, places)
    shown = set(re.findall(r"\$\{(\w+)(?:\.QueueName)?\}", body))
    types = ("AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::Logs::LogGroup")
    there = {name for name, one in template["Resources"].items() if one["Type"] in types}
    check("the dashboard shows all", shown == there, shown ^ there)


def check_stack(template):
    """What moto's CloudFormation makes of it."""
    # moto has no function URLs, so nothing can be printed of one.
    check("the URL is printed", template["Outputs"].pop("WebhookUrl")["Value"] == {"Fn::GetAtt": ["GitHubWebhookUrl", "FunctionUrl"]})
    cloudformation = boto3.client("cloudformation")
    boto3.client("s3").create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_DEFAULT_REGION"]})
    boto3.client("s3").put_object(Bucket="code", Key="function.zip", Body=b"PK\x05\x06" + bytes(18))
    cloudformation.create_stack(
        StackName="slipway", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in (PARAMETERS | SECRETS).items()])
    stack = cloudformation.describe_stacks(StackName="slipway")["Stacks"][0]
    check("the stack is complete", stack["StackStatus"] == "CREATE_COMPLETE", stack["StackStatus"])

    ids = {r["LogicalResourceId"]: r["PhysicalResourceId"]
           for r in cloudformation.describe_stack_resources(StackName="slipway")["StackResources"]
           if "PhysicalResourceId" in r}
    sqs = boto3.client("sqs")
    queue = sqs.get_queue_attributes(QueueUrl=ids["Pushes"], AttributeNames=["All"])["Attributes"]
    check("a FIFO queue without content-based deduplication",
          (queue["FifoQueue"], queue.get("ContentBasedDeduplication", "false")) == ("true", "false"), queue)
    check("with a dead-letter queue", "deadLetterTargetArn" in queue["RedrivePolicy"], queue)

    variables = boto3.client("lambda").get_function_configuration(FunctionName=ids["SyncWorker"])["Environment"]["Variables"]
    check("the worker knows the queue", variables["SLIPWAY_QUEUE_URL"] == ids["Pushes"], variables)
    check("and the root", variables["SLIPWAY_ROOT"] == PARAMETERS["Root"], variables)

    events = boto3.client("events")
    patterns = [json.loads(rule["EventPattern"]) for rule in events.list_rules()["Rules"] if "EventPattern" in rule]
    check("the rule takes image pushes", [p["detail-type"] for p in patterns] == [
        ["ECR Image Action", "ECR Replication Action", "ECR Pull Through Cache Action", "ECR Image Scan"]], patterns)
    targets = events.list_targets_by_rule(Rule=ids["ImagePushed"])["Targets"]
    check("into a queue", [target["Arn"].rsplit(":", 1)[1] for target in targets] == [ids["ImagePushes"].rsplit("/", 1)[1]], targets)
    mappings = boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    woken = {(one["EventSourceArn"].rsplit(":", 1)[1], one["FunctionArn"].rsplit(":", 1)[1]) for one in mappings}
    wanted = {(ids[queue].rsplit("/", 1)[1], ids[name]) for queue, name in [("ImagePushes", "EcrPush"), ("Pushes", "SyncWorker")]}
    check("each queue wakes its function", woken == wanted and len(mappings) == 2, mappings)


def main():
    template = translate(sys.argv[1])
    check_template(template)
    check_rules(template)
    check_dashboard(template)
    check_stack(template)


if __name__ == "__main__":
    main()
