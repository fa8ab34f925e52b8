"""XML-RPC: what rpclib writes is written so, what it reads is read so, and nothing else is."""

from typing import Any

import pytest
from schema.rpc import BadRequestError, decode_request
from schema.wire import xmlrpc
from schema.wire.value import Dict
from schema.wire.xmlrpc import XmlError

MEMBERS = (
    "<member><name>a</name><value>x</value></member><member><name>b</name><value><nil/></value></member>"
)

VALUES: list[tuple[Any, str]] = [
    (None, "<value><nil/></value>"),
    (True, "<value><boolean>1</boolean></value>"),
    (1.5, "<value><double>1.5</double></value>"),
    (1.0, "<value><double>1</double></value>"),
    (float("inf"), "<value><double>inf</double></value>"),
    ("", "<value></value>"),
    ('<&"> é\n', "<value>&lt;&amp;&quot;&gt; é\n</value>"),
    ([], "<value><array><data></data></array></value>"),
    (
        ["a", []],
        "<value><array><data><value>a</value><value><array><data></data></array></value></data></array></value>",
    ),
    (Dict(), "<value><struct></struct></value>"),
    (Dict([("a", "x"), ("b", None)]), f"<value><struct>{MEMBERS}</struct></value>"),
    (
        Dict([("<&>", "")]),
        "<value><struct><member><name>&lt;&amp;></name><value></value></member></struct></value>",
    ),
]


@pytest.mark.parametrize(("value", "text"), VALUES)
def test_a_value_is_written_and_read_as_the_original_does(value: Any, text: str) -> None:
    assert xmlrpc.encode_value(value) == text
    assert xmlrpc.decode_value(text.encode()) == value


def test_integers_go_out_as_text_and_letters_that_xml_has_no_place_for_not_at_all() -> None:
    assert xmlrpc.encode_value(7) == "<value>7</value>"
    assert xmlrpc.encode_value("a\0\x1fb\x7f\t") == "<value>ab\x7f\t</value>"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<value>7</value>", "7"),
        ("<value><int>-7</int></value>", -7),
        ("<value><i4>0x10</i4></value>", 16),
        ("<value><i8>9223372036854775807</i8></value>", 2**63 - 1),
        ("<value><boolean>0</boolean></value>", False),
        ("<value><boolean>yes</boolean></value>", False),
        ("<value><double>1e3</double></value>", 1000.0),
        ("<value><string>x y</string></value>", "x y"),
        ("<value><string/></value>", ""),
        ("<value/>", ""),
        ("<value><value/></value>", ""),
        ("<value> x </value>", " x "),
        ("<value>\n <nil/>\t</value>", None),
        ("<value><array/></value>", []),
        ("<value><struct/></value>", Dict()),
        ("<value><array>\n<data>\n<value>a</value>\n</data>\n</array></value>", ["a"]),
        ("<value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value>", "19980717T14:08:55"),
        ("<value><base64>aGk=</base64></value>", "hi"),
        ("<?xml version='1.0'?><!DOCTYPE x><value><![CDATA[<x>]]></value>", "<x>"),
        ("<value>&#233;</value>", "é"),
    ],
)
def test_other_ways_to_write_a_value_are_read_too(text: str, value: Any) -> None:
    found = xmlrpc.decode_value(text.encode())
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no element found"),
        (b"junk", "syntax error"),
        (b"\xff<value/>", "not well-formed"),
        (b"<value>", "no element found"),
        (b"<value>\xff</value>", "not well-formed"),
        (b"<?xml version='1.0' encoding='nonsense'?><value/>", "unknown encoding"),
        (b"<!DOCTYPE x [<!ENTITY e 'x'>]><value>&e;</value>", "EntitiesForbidden"),
        (b"<other/>", "other stands where value was expected"),
        (b"<value><int/></value>", "a int is empty"),
        (b"<value><int>x</int></value>", "'x' is no int"),
        (b"<value><int>9223372036854775808</int></value>", "is no int"),
        (b"<value><int><nil/></int></value>", "has no elements within"),
        (b"<value><double>x</double></value>", "is no double"),
        (b"<value><base64>%</base64></value>", "no base64"),
        (b"<value><nil>x</nil></value>", "nil is no type of a value"),
        (b"<value><float>1</float></value>", "float is no type"),
        (b"<value>x<nil/></value>", "text stands between"),
        (b"<value><nil/><nil/></value>", "one element within, not 2"),
        (b"<value><array>x</array></value>", "text stands between"),
        (b"<value><array><value/></array></value>", "value stands where data"),
        (b"<value><struct><member/></struct></value>", "a name and a value"),
        (b"<value><struct><member><value/><value/></member></struct></value>", "value stands where name"),
        (b"<value><array><data>" * 300, "nested deeper than"),
    ],
)
def test_what_is_no_value_is_refused_in_words(text: bytes, words: str) -> None:
    with pytest.raises(XmlError, match=words):
        xmlrpc.decode_value(text)


def test_a_call_is_written_and_read() -> None:
    params = [Dict([("debug_info", "d"), ("unit", None)])]
    text = xmlrpc.encode_call("query", params)
    expected = (
        b'<?xml version="1.0"?><methodCall><methodName>query</methodName><params><param><value><struct>'
        b"<member><name>debug_info</name><value>d</value></member>"
        b"<member><name>unit</name><value><nil/></value></member></struct></value></param></params></methodCall>"
    )
    assert text == expected
    assert xmlrpc.decode_call(text) == ("query", params)
    assert xmlrpc.decode_call(b"<methodCall>\n<methodName>x</methodName></methodCall>") == ("x", [])


@pytest.mark.parametrize(
    "text",
    [
        b"<value/>",
        b"<methodCall/>",
        b"<methodCall><params/></methodCall>",
        b"<methodCall><methodName>x</methodName><params/><params/></methodCall>",
        b"<methodCall><methodName>x</methodName><params><value/></params></methodCall>",
        b"<methodCall><methodName>x</methodName><params><param/></params></methodCall>",
    ],
)
def test_what_is_no_call_is_refused(text: bytes) -> None:
    with pytest.raises(XmlError):
        xmlrpc.decode_call(text)


@pytest.mark.parametrize("success", [True, False])
def test_a_response_is_written_and_read(success: bool) -> None:  # noqa: FBT001  a test's parameter
    text = xmlrpc.encode_response(["x"], success=success)
    assert text.startswith(
        b'<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>Status'
    )
    assert xmlrpc.decode_response(text) == (success, ["x"])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("<params><param><value>x</value></param></params>", (True, "x")),
        ("<params><param><value><struct/></value></param></params>", (True, Dict())),
        ("<fault><value>why</value></fault>", (False, "why")),
    ],
)
def test_other_responses_are_read_too(content: str, found: Any) -> None:
    assert xmlrpc.decode_response(f"<methodResponse>{content}</methodResponse>".encode()) == found


def test_two_methods_take_their_parameters_without_names() -> None:
    assert decode_request(b'{"method":"query","params":["d",null],"id":1}').params == {
        "debug_info": "d",
        "unit": None,
    }
    named = decode_request(b'{"method":"VM.import_metadata","params":["d","{}"],"id":1}')
    assert named.params == {"debug_info": "d", "metadata": "{}"}
    for body in (b'{"method":"query","params":["d"],"id":1}', b'{"method":"query","params":[1,null],"id":1}'):
        with pytest.raises(BadRequestError, match="Expecting dict"):
            decode_request(body)
