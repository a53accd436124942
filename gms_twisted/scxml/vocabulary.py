"""Names of elements and attributes, for those who look for misspelt ones.

SCXML 1.0, the draft of May 2009, and the modules of the orchestration product.

Knows: names.  Does not know: what they mean.
"""

from __future__ import annotations

SHARED = frozenset(("id", "base", "lang", "space", "schemaLocation", "_desc", "_type", "_persist"))
"""Attributes that any element may have."""

ATTRIBUTES: dict[str, frozenset[str]] = {
    name: frozenset(attributes.split())
    for name, attributes in {
        "scxml": "initial initialstate name version datamodel binding profile exmode",
        "state": "initial src",
        "parallel": "initial",
        "final": "",
        "history": "type",
        "initial": "",
        "transition": "event cond target type anchor",
        "onentry": "",
        "onexit": "",
        "datamodel": "schema",
        "donedata": "",
        "param": "name expr location",
        "raise": "event",
        "event": "event name",
        "if": "cond",
        "elseif": "cond",
        "else": "",
        "foreach": "array item index",
        "log": "label expr level",
        "script": "src type",
        "send": "event eventexpr target targetexpr type typeexpr targettype idlocation delay"
        " delayexpr namelist hints sendid content",
        "cancel": "sendid sendidexpr",
        "invoke": "type typeexpr src srcexpr idlocation namelist autoforward targettype",
        "finalize": "",
    }.items()
}
"""By element of SCXML's own."""

_CALL = "requestid interactionid reason resource hints"

MODULES: dict[str, dict[str, frozenset[str]]] = {
    module: {name: frozenset(attributes.split()) for name, attributes in elements.items()}
    for module, elements in {
        "ws": {"response": "requestid type resultcode"},
        "queue": {
            "submit": "requestid queue priority interactionid timeout ordertype orderstat route"
            " clearontimeout",
            "targets": "type",
            "target": "name type statserver",
            "targetid": "expr",
            "cancel": "requestid queue interactionid",
            "query": "requestid queue interactionid",
        },
        "interaction": {
            "createcall": f"{_CALL} from to type udata",
            "redirect": f"{_CALL} from to type detach",
            **dict.fromkeys(
                ("terminate", "attach", "detach", "associate", "accept", "delete"), _CALL
            ),
        },
        "session": {
            "fetch": "requestid src srcexpr method enctype type timeout headers content maxage",
            "start": "requestid src srcexpr sessionid idealtime",
            "terminate": "requestid sessionid",
            "updatestart": "requestid sessionid idealtime",
        },
        "gsgBasedServices": dict.fromkeys(
            ("reserve", "match"),
            "requestid _id _resource_group _provide_code _phone_number"
            " _booking_expiration_timeout _access_number _access_code",
        ),
        "gsgNotification": {
            "create": "requestid apiVersion content",
            "publish": "requestid apiVersion content",
            "delete": "requestid apiVersion subscriptionID",
            "deleteSubscriber": "requestid apiVersion subscriberID",
        },
        "gsgStorage": dict.fromkeys(
            ("create", "update", "query", "delete"), "requestid apiVersion ttl id key content"
        ),
    }.items()
}
"""By module and element; modules that are not here may have any."""
