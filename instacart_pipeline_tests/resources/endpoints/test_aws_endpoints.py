"""The model registry and endpoints on AWS: what is asked for, what is entered once, what is taken back, and what a rerun repairs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from instacart_pipeline.lake.artefacts import Artefact, ModelCode
from instacart_pipeline.lake.errors import ArtefactNotFound, SettingsInvalid
from instacart_pipeline.resources.aws_account.errors import AwsError
from instacart_pipeline.resources.endpoints import Canary, DeploymentFailed, EndpointNotFound, EndpointUnavailable
from instacart_pipeline.resources.endpoints.aws import AwsEndpoints
from instacart_pipeline.resources.model_registry import ModelVersion
from instacart_pipeline.resources.model_registry.aws import AwsModelRegistry
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.aws_models import put_model
from instacart_pipeline_tests.resources.aws_site import ROLE, Site
from instacart_pipeline_tests.resources.toy_model import CODE

IMAGE = "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0"
CANARY = Canary(b"1,0.5\n2,\n", lines=2)
CARD: Mapping[str, object] = {"intended_use": "To try things with.", "features": ["y", "x"], "figures": {"f1": 0.5}}
FAILS_CANARIES = replace(
    CODE, files={**CODE.files, "inference.py": CODE.files["inference.py"].replace(b"row[0] == -1", b"row[0] == 1")}
)
CANT_LOAD = replace(CODE, files={**CODE.files, "inference.py": b"raise ImportError('there is no such thing')"})


@pytest.fixture
def registry(site: Site) -> AwsModelRegistry:
    """An empty registry."""
    return AwsModelRegistry(lake=site.lake, image=IMAGE)


@pytest.fixture
def endpoints(site: Site) -> AwsEndpoints:
    """No endpoints yet."""
    return AwsEndpoints(lake=site.lake, image=IMAGE, role=ROLE, instance="ml.m5.large")


def trained(site: Site, code: ModelCode = CODE, *, mean: float = 1.75) -> Artefact:
    return put_model(site.lake, code, mean=mean)


def version_of(artefact: Artefact, number: int = 1) -> ModelVersion:
    return ModelVersion("toy", number, "Approved", artefact, {})


def test_a_version_is_a_package_that_tells_a_person_what_it_is(site: Site, registry: AwsModelRegistry) -> None:
    artefact = trained(site)
    registry.register("toy", artefact, {"f1": 0.25}, CARD)
    (asked,) = site.aws.requests.of("sagemaker", "CreateModelPackage")
    (container,) = asked.parameters["InferenceSpecification"]["Containers"]
    assert container["Image"] == IMAGE
    assert container["ModelDataUrl"] == f"{artefact.location}/model.tar.gz"
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == f"{artefact.location}/sourcedir.tar.gz"
    properties = asked.parameters["CustomerMetadataProperties"]
    assert (properties["day"], properties["code"], properties["metric.f1"]) == (DT, artefact.code, "0.25")
    details = json.loads(asked.parameters["ModelCard"]["ModelCardContent"])["additional_information"]["custom_details"]
    assert details["intended_use"] == "To try things with."
    assert json.loads(details["features"]) == ["y", "x"]


def test_a_version_comes_back_whole_however_large_its_card(site: Site, registry: AwsModelRegistry) -> None:
    artefact, card = trained(site), {**CARD, "long": "x" * 200_000}
    metrics = {f"metric_{number}": number / 3 for number in range(60)}
    made = registry.register("toy", artefact, metrics, card)
    assert (made.artefact, made.metrics, made.card) == (artefact, metrics, card)
    assert list(registry.versions("toy")) == [made]


def test_many_at_once_enter_an_artefact_once(site: Site, registry: AwsModelRegistry) -> None:
    artefact = trained(site)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: registry.register("toy", artefact, {}, CARD), range(4)))
    assert {version.number for version in made} == {1}
    assert len(registry.versions("toy")) == 1


def test_a_registration_that_died_half_way_is_gone_on_with(site: Site, registry: AwsModelRegistry) -> None:
    artefact = trained(site)
    registry.register("toy", artefact, {}, CARD)
    (record,) = site.keys("models/_registered/")
    told = json.loads(site.lake.objects.text(f"s3://lake/{record}"))
    del told["arn"]
    site.put(f"s3://lake/{record}", json.dumps(told))
    site.aws.sagemaker.registry.forget_tokens()
    assert registry.register("toy", artefact, {}, CARD).number == 1
    assert len(registry.versions("toy")) == 1


def test_a_lost_answer_enters_nothing_twice(site: Site, registry: AwsModelRegistry) -> None:
    artefact = trained(site)
    for operation in ("CreateModelPackageGroup", "CreateModelPackage", "UpdateModelPackage"):
        site.aws.faults.add("lost_reply", "sagemaker", operation)
    made = registry.register("toy", artefact, {}, CARD)
    assert registry.decide(made, "Approved", "good").status == "Approved"
    assert [version.number for version in registry.versions("toy")] == [1]


def test_the_newest_approved_version_is_found_over_many_pages(site: Site, registry: AwsModelRegistry) -> None:
    artefact = trained(site)
    site.aws.sagemaker.registry.page_size = 2
    for number in range(1, 6):
        location = f"{artefact.location}/{number}"
        made = registry.register("toy", replace(artefact, location=location), {}, CARD)
        if number in (2, 4):
            registry.decide(made, "Approved", f"the {number}th")
    champion = registry.champion("toy")
    assert champion
    assert (champion.number, champion.reason) == (4, "the 4th")
    assert [version.number for version in registry.versions("toy")] == [5, 4, 3, 2, 1]
    assert registry.champion("nobody") is None


def test_a_version_that_is_not_there_can_t_be_decided_on(site: Site, registry: AwsModelRegistry) -> None:
    with pytest.raises(ArtefactNotFound, match="no version 7 of toy"):
        registry.decide(version_of(trained(site), 7), "Approved", "")


def test_an_endpoint_is_made_once_and_answers(site: Site, endpoints: AwsEndpoints) -> None:
    version = version_of(trained(site))
    made = endpoints.deploy("toy", version, CANARY)
    assert (made.endpoint, made.version) == ("toy", version)
    assert endpoints.deployed("toy") == version
    reply = endpoints.invoke("toy", b"1,2\n", attributes="model=toy/1")
    assert (reply.status, reply.body, reply.attributes) == (200, b"2.75\n", "model=toy/1")
    endpoints.deploy("toy", version, CANARY)
    assert site.aws.requests.count("sagemaker", "CreateEndpoint") == 1
    assert site.aws.requests.count("sagemaker", "UpdateEndpoint") == 0


def test_requests_are_answered_while_a_version_is_replaced(site: Site, endpoints: AwsEndpoints) -> None:
    endpoints.deploy("toy", version_of(trained(site)), CANARY)
    second = version_of(trained(site, mean=1.0), 2)
    with ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(endpoints.deploy, "toy", second, CANARY)
        bodies = []
        while not deploying.done():
            bodies.append(endpoints.invoke("toy", b"1,2\n").body)
    assert deploying.result().version == second
    assert set(bodies) <= {b"2.75\n", b"2.0\n"}
    assert endpoints.invoke("toy", b"1,2\n").body == b"2.0\n"


def test_a_version_that_fails_its_canary_is_taken_back(site: Site, endpoints: AwsEndpoints) -> None:
    first = version_of(trained(site))
    endpoints.deploy("toy", first, CANARY)
    with pytest.raises(DeploymentFailed, match=r"canary with status 400 and .* lines where 200 and 2 were due"):
        endpoints.deploy("toy", version_of(trained(site, FAILS_CANARIES), 2), CANARY)
    assert endpoints.deployed("toy") == first
    assert endpoints.invoke("toy", b"1,2\n").body == b"2.75\n"


def test_a_version_that_does_not_load_is_rolled_back_by_sagemaker(site: Site, endpoints: AwsEndpoints) -> None:
    first = version_of(trained(site))
    endpoints.deploy("toy", first, CANARY)
    with pytest.raises(
        DeploymentFailed, match=r"toy-1-\w+ still stands behind it.\n.*did not pass the ping health check"
    ):
        endpoints.deploy("toy", version_of(trained(site, CANT_LOAD), 2), CANARY)
    assert endpoints.deployed("toy") == first


@pytest.mark.parametrize("code", [CANT_LOAD, FAILS_CANARIES], ids=["can't be loaded", "fails its canary"])
def test_a_first_version_that_fails_leaves_no_endpoint(site: Site, endpoints: AwsEndpoints, code: ModelCode) -> None:
    with pytest.raises(DeploymentFailed, match="nothing stands behind it yet"):
        endpoints.deploy("toy", version_of(trained(site, code)), CANARY)
    with pytest.raises(EndpointNotFound, match="There is no SageMaker endpoint toy in eu-central-1"):
        endpoints.deployed("toy")
    assert endpoints.deploy("toy", version_of(trained(site), 2), CANARY).version.number == 2


def test_faults_on_the_way_do_not_show(site: Site, endpoints: AwsEndpoints) -> None:
    faults = [
        site.aws.faults.add("lost_reply", "sagemaker", "CreateEndpointConfig"),
        site.aws.faults.add("lost_reply", "sagemaker", "CreateEndpoint"),
        site.aws.faults.add("throttled", "sagemaker", "DescribeEndpoint"),
        site.aws.faults.add("server_error", "sagemaker", "DescribeEndpoint", after=2),
        site.aws.faults.add("lost_reply", "sagemaker", "UpdateEndpoint"),
    ]
    for version in (version_of(trained(site)), version_of(trained(site, mean=1.0), 2)):
        endpoints.deploy("toy", version, CANARY)
        assert endpoints.deployed("toy") == version
    assert [fault.hits for fault in faults] == [1] * len(faults)


def test_a_deployment_that_died_before_its_canary_is_asked_by_the_next(site: Site, endpoints: AwsEndpoints) -> None:
    first, bad = version_of(trained(site)), version_of(trained(site, FAILS_CANARIES), 2)
    endpoints.deploy("toy", first, CANARY)
    fault = site.aws.faults.add("denied", "sagemaker-runtime", "InvokeEndpoint")
    with pytest.raises(AwsError):
        endpoints.deploy("toy", bad, CANARY)  # ends between the change and the canary's answer
    assert fault.hits == 1
    assert endpoints.deployed("toy") == bad
    with pytest.raises(DeploymentFailed, match="canary with status 400"):
        endpoints.deploy("toy", bad, CANARY)
    assert endpoints.deployed("toy") == first


def test_a_deployment_waits_for_the_change_under_way(site: Site, endpoints: AwsEndpoints) -> None:
    endpoints.deploy("toy", version_of(trained(site)), CANARY)
    second, third = version_of(trained(site, mean=1.0), 2), version_of(trained(site, mean=1.5), 3)
    site.aws.sagemaker.endpoints.seconds = 0.5
    with ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(endpoints.deploy, "toy", second, CANARY)
        while site.aws.requests.count("sagemaker", "UpdateEndpoint") == 0:
            time.sleep(0.01)
        assert endpoints.deploy("toy", third, CANARY).version == third
        assert deploying.result().version == second
    assert endpoints.deployed("toy") in (second, third)  # each waited for the other; the last one stands


def test_an_endpoint_that_does_not_answer_is_unavailable(site: Site, endpoints: AwsEndpoints) -> None:
    endpoints.deploy("toy", version_of(trained(site)), CANARY)
    site.aws.faults.add("server_error", "sagemaker-runtime", "InvokeEndpoint", times=None)
    with pytest.raises(EndpointUnavailable, match="The endpoint toy does not answer"):
        endpoints.invoke("toy", b"1,2\n")


def test_without_image_or_role_nothing_is_made(site: Site) -> None:
    bare = AwsEndpoints(lake=site.lake, image="", role="", instance="ml.m5.large")
    with pytest.raises(SettingsInvalid, match="INSTACART_MODEL_IMAGE and INSTACART_SERVICE_ROLE"):
        bare.deploy("toy", version_of(trained(site)), CANARY)
    with pytest.raises(SettingsInvalid, match="INSTACART_MODEL_IMAGE"):
        AwsModelRegistry(lake=site.lake, image="").register("toy", trained(site), {}, {})
