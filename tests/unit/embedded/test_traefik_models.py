"""The models of Traefik's dynamic configuration: nothing gets into a file that would freeze all."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.traefik import (
    Certificate,
    DynamicConfiguration,
    Headers,
    Http,
    LoadBalancer,
    Middleware,
    Router,
    RouterTls,
    Server,
    Service,
    Tls,
    all_of,
    header,
    host,
    parse,
    path_prefix,
    place,
    place_certificate,
)


def shop(rule: str = "Host(`shop.localhost`)") -> DynamicConfiguration:
    """One route with TLS."""
    return DynamicConfiguration(
        http=Http(
            routers={"shop": Router(rule=rule, service="shop", entry_points=("websecure",), tls=RouterTls())},
            services={"shop": Service(load_balancer=LoadBalancer(servers=(Server(url="http://10.0.0.2:8000"),)))},
        )
    )


def test_what_is_rendered_reads_as_traefik_wants_it() -> None:
    """Names are in camel case, what is not said is not there, and an empty `tls` stays: it means TLS."""
    assert yaml.safe_load(shop().render()) == {
        "http": {
            "routers": {"shop": {"rule": "Host(`shop.localhost`)", "service": "shop", "entryPoints": ["websecure"], "tls": {}}},
            "services": {"shop": {"loadBalancer": {"servers": [{"url": "http://10.0.0.2:8000"}]}}},
        }
    }


def test_parse_is_the_inverse_of_render() -> None:
    """A file can be read back into the same models."""
    assert parse(shop().render()) == shop()


def test_unknown_fields_are_refused() -> None:
    """One unknown field would freeze the changes of all files."""
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        parse("http: {routers: {a: {rule: x, service: a, entryPoints: [web], colour: red}}}")


@pytest.mark.parametrize("value", ["a`b", "a{{b", "b}}", "a\nb", "", "\x00"])
def test_a_rule_cannot_be_broken_out_of(value: str) -> None:
    """What would end the literal or start a template is refused."""
    with pytest.raises(ValueError, match="not allowed in a routing rule"):
        host(value)


@pytest.mark.parametrize("middleware", [{}, {"headers": Headers(), "strip_prefix": {"prefixes": ("/a",)}}])
def test_a_middleware_has_exactly_one_kind(middleware: dict[str, object]) -> None:
    """None or two are refused by Traefik, and so by the model."""
    with pytest.raises(ValidationError, match="exactly one kind"):
        Middleware.model_validate(middleware)


def test_a_service_may_have_middlewares_beside_its_kind() -> None:
    """They are no kind of their own."""
    Service(load_balancer=LoadBalancer(servers=()), middlewares=("m",))
    with pytest.raises(ValidationError, match="exactly one kind"):
        Service(middlewares=("m",))


def test_templates_are_refused_wherever_they_stand() -> None:
    """Traefik reads `{{` as a template even where YAML has it in a string."""
    middlewares = {"m": Middleware(headers=Headers(custom_response_headers={"X-A": "{{ env `HOME` }}"}))}
    with pytest.raises(ValueError, match="template"):
        DynamicConfiguration(http=Http(middlewares=middlewares)).render()


def test_an_empty_configuration_is_no_file() -> None:
    """Traefik refuses `http: {}`; there is no way to write it."""
    with pytest.raises(ValueError, match="says nothing"):
        DynamicConfiguration(http=Http(), tls=Tls()).render()


@given(st.text(max_size=80))
def test_any_header_value_is_refused_or_reads_back_as_itself(value: str) -> None:
    """Whatever a user says ends up as a string in the file, or is refused."""
    content = DynamicConfiguration(http=Http(middlewares={"m": Middleware(headers=Headers(custom_request_headers={"X-A": value}))}))
    try:
        text = content.render()
    except ValueError:
        return
    assert parse(text) == content


def test_rules_are_combined_with_their_own_brackets() -> None:
    """Alternatives stay together when they are combined with a condition."""
    rule = all_of(host("a.localhost", "b.localhost"), header("X-Key", "1"), path_prefix("/x"))
    assert rule == "(Host(`a.localhost`) || Host(`b.localhost`)) && (Header(`X-Key`, `1`)) && (PathPrefix(`/x`))"


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Nothing but the finished file is there afterwards; it is readable for the group and nobody else."""
    place(tmp_path, "shop", shop())
    path = place(tmp_path, "shop", shop("Host(`other.localhost`)"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["shop.yml"]
    assert parse(path.read_text()) == shop("Host(`other.localhost`)")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden"])
def test_a_name_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    """A file name is no path."""
    with pytest.raises(ValueError, match="not a plain file name"):
        place(tmp_path, name, shop())


def test_certificates_are_named_by_content(tmp_path: Path) -> None:
    """Equal content has equal names, other content others: Traefik loads what has a new name."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    first = place_certificate(folder, "chain", "key")
    assert place_certificate(folder, "chain", "key") == first
    assert place_certificate(folder, "renewed", "key") != first
    assert isinstance(first, Certificate)
    assert (tmp_path / first.key_file).read_text() == "key"
