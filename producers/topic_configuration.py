"""The settings of topics: read as they are in effect, and changed one by one (KIP-339).

aiokafka has only AlterConfigs, which resets each setting that it does not name. IncrementalAlterConfigs is here.
"""

from collections.abc import Iterable, Mapping

from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from producers.brokers import AdminClient

TOPIC = int(ConfigResourceType.TOPIC)
SET = 0


class IncrementalAlterConfigsResponse_v0(Response):
    """How it went with each topic."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class IncrementalAlterConfigsRequest_v0(RequestStruct):
    """Changes the settings that it names, and no others."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponse_v0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(("name", String("utf-8")), ("config_operation", Int8), ("value", String("utf-8"))),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class IncrementalAlterConfigsRequest(Request[IncrementalAlterConfigsRequest_v0]):
    """Goes to the controller."""

    API_KEY = 44

    def __init__(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        self._settings = settings

    def build(self, request_struct_class: type[IncrementalAlterConfigsRequest_v0]) -> IncrementalAlterConfigsRequest_v0:
        """The request as it goes over the wire."""
        resources = [
            (TOPIC, topic, [(name, SET, value) for name, value in wanted.items()])
            for topic, wanted in self._settings.items()
        ]
        return request_struct_class(resources, False)


async def settings_in_effect(
    admin: AdminClient, topics: Iterable[str], names: Iterable[str]
) -> dict[str, dict[str, str]]:
    """The values of these settings by topic: its own, or else the brokers' default.

    A setting that the brokers do not know is left out. Raises what Kafka answers, with the topic's name.
    """
    wanted = list(names)
    resources = [(TOPIC, topic, wanted) for topic in topics]
    if not resources:
        return {}
    answer = await admin._client.ask_any(DescribeConfigsRequest(resources))
    found: dict[str, dict[str, str]] = {}
    for code, _, _, topic, entries in answer.resources:
        if code:
            raise for_code(code)(topic)
        found[topic] = {name: value for name, value, *_ in entries if value is not None}
    return found


async def change_settings(admin: AdminClient, settings: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[int, str]]:
    """Set these settings on these topics, each topic's all or none; the code and words of each error, by topic."""
    if not settings:
        return {}
    answer = await admin._send_to_controller(IncrementalAlterConfigsRequest(settings))
    return {topic: (code, message or for_code(code).__name__) for code, message, _, topic in answer.responses if code}
