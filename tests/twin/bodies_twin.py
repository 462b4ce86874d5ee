"""The second half of docs/spec/sealed-ids.md a second time: which strings of bodies and targets are
ids.

Slow and obvious: it holds the whole body before it begins. The tables are read from the page.
"""

import os
import re

import tokenpin_twin as twin

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "spec", "sealed-ids.md")


def generated(name):
    """The rows of a generated table of the page, as lists of cells."""
    with open(PAGE, encoding="utf-8") as file:
        part = file.read().split("<!-- generated: %s -->" % name)[1].split("<!-- end -->")[0]
    return [row.strip("|").split("|") for row in part.strip().splitlines()[2:]]


def words(cell):
    return [word.encode() for word in re.findall("`([^`]+)`", cell)]


# The number and kind of each key.
KEYS = {}
for _kind, _keys in generated("id keys"):
    for _name, _number in re.findall("`([^`]+)` ([0-9]+)", _keys):
        KEYS[_name.encode()] = (int(_number), words(_kind)[0].decode())
OBJECTS, ITEMS = (words(row[1]) for row in generated("id prefixes"))
COLLECTIONS, LITERALS, UPLOADS, DOWNLOADS = (words(row[1]) for row in generated("id paths"))

MODES = ["off", "open", "seal", "strict"]
IDS = ["none", "open", "both", "items"]
KINDS = [
    "path",
    "query",
    "own",
    "id",
    "ids",
    "named",
    "holder",
    "encrypted",
    "url",
    "opaque",
    "opaque_object",
    "variables",
    "items",
]
NO_KEY = 255
BLANKS = b" \t\r\n"
ID_KINDS = ("own", "id", "named")


class NoJson(Exception):
    pass


class Rules:
    """The rules for all requests of one scope and owner."""

    def __init__(self, config, scope, owner):
        self.place = config.id_keys, scope or config.scope, owner
        self.mode = MODES[config.id_mode]
        self.refuse_foreign = config.refuses_foreign_seals
        self.encrypted = config.encrypted_content
        # Of equal names, the first counts.
        self.keys = [(name, *row) for name, row in KEYS.items()]
        self.keys += [(name, len(KEYS) + i, kind) for i, (name, kind) in enumerate(config.id_fields)]
        self.prefixes, self.collections = config.id_prefixes, COLLECTIONS + config.id_collections
        self.accounts = [slot.id for slot in config.slots if not slot.vacant]

    def is_sealed_type(self, ids, text):
        """Returns whether a text under a listed key would be sealed."""
        prefix = twin.cut(text)[0]
        known = (
            prefix in OBJECTS
            or (ids == "items" and prefix in ITEMS)
            or any(text.startswith(added) for added in self.prefixes)
        )
        return known and len(text) <= 255 and twin.has_id_characters(text)


class Strings:
    """Reads a document, and calls back for each part that a rewriter needs, in order."""

    def __init__(self, text, rules, any_case, on_text, on_element):
        self.text, self.at, self.keys, self.any_case = text, 0, rules.keys, any_case
        self.on_text, self.on_element = on_text, on_element
        self.unstored = False

    def read(self):
        """Returns whether the whole document was understood."""
        self.blanks()
        if self.at == len(self.text):
            return True
        try:
            self.value(None, None, False, 0, None)
            self.blanks()
        except NoJson:
            return False
        return self.at == len(self.text)

    def peek(self):
        return self.text[self.at : self.at + 1]

    def blanks(self):
        while self.peek() and self.peek() in BLANKS:
            self.at += 1

    def next_is(self, byte):
        self.blanks()
        found = self.peek() == byte
        self.at += found
        return found

    def expect(self, byte):
        if not self.next_is(byte):
            raise NoJson

    def string(self):
        """The range between the quotes."""
        if self.peek() != b'"':
            raise NoJson
        start = end = self.at + 1
        while self.text[end : end + 1] != b'"':
            if end >= len(self.text):
                raise NoJson
            end += 2 if self.text[end : end + 1] == b"\\" else 1
        self.at = end + 1
        return start, end

    def skim(self):
        opened = 0
        while True:
            byte = self.peek()
            if not byte:
                raise NoJson
            if byte == b'"':
                self.string()
                continue
            opened += (byte in b"{[") - (byte in b"}]")
            self.at += 1
            if opened == 0:
                return

    def look_up(self, name, variables):
        for key, number, kind in self.keys:
            same = key == name or (self.any_case and key == name.lower())
            if same and kind not in ("path", "query") and (key == b"file_id" or not variables):
                return number, kind
        return None, None

    def same(self, name, expected):
        return name == expected or (self.any_case and name.lower() == expected)

    def value(self, number, kind, variables, level, place):
        """`place`: the place of a string, as on_text receives it."""
        self.blanks()
        byte = self.peek()
        if byte == b'"':
            before = self.at + 1
            try:
                start, end = self.string()
            except NoJson:
                if len(self.text) - before > 512 and kind in ID_KINDS:
                    # It is too long already, regardless of its end.
                    self.on_text(number, kind, before, len(self.text), place)
                raise
            if kind is not None:
                self.on_text(number, kind, start, end, place)
        elif byte in (b"{", b"["):
            opaque = kind == "opaque" or (kind == "opaque_object" and byte == b"{")
            if opaque or level == 256:
                self.skim()
            elif byte == b"{":
                self.object(number, kind, variables or kind == "variables", level + 1, place)
            else:
                self.array(number, kind, variables or kind == "variables", level + 1)
        elif byte and byte in b"-0123456789tfn":
            while self.peek() and self.peek() not in b",]} \t\r\n":
                if self.peek() in b'"{[:':
                    raise NoJson
                self.at += 1
        else:
            raise NoJson

    def object(self, number, kind, variables, level, place):
        self.at += 1
        holder = number if kind in ("named", "holder") else None
        element = [] if level == 3 and place == "element" else None
        inline = False
        if not self.next_is(b"}"):
            while True:
                self.blanks()
                start, end = self.string()
                name = unescape(self.text[start:end]) or b""
                key, key_kind = self.look_up(name, variables)
                if not any(self.same(name, known) for known in (b"id", b"type", b"status")):
                    inline = True
                self.expect(b":")
                self.blanks()
                if level == 1 and self.same(name, b"store") and self.peek() not in b'"{[':
                    self.unstored = self.peek() == b"f"
                self.value(key, key_kind, variables, level, (holder, element))
                if not self.next_is(b","):
                    break
            self.expect(b"}")
        if element is not None:
            self.on_element(element, inline)

    def array(self, number, kind, variables, level):
        self.at += 1
        if self.next_is(b"]"):
            return
        is_items = level == 2 and kind in ("opaque_object", "items")
        while True:
            self.blanks()
            in_ids = kind == "ids" and self.peek() == b'"'
            place = (None, None) if in_ids else "element" if is_items else None
            self.value(number if in_ids else None, "id" if in_ids else None, variables, level, place)
            if not self.next_is(b","):
                break
        self.expect(b"]")


ESCAPES = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def characters(raw):
    """(character, whether it was escaped); None for an invalid escape."""
    found, at = [], 0
    while at < len(raw):
        byte = raw[at : at + 1]
        at += 1
        if byte != b"\\":
            found.append((byte, False))
            continue
        escape = raw[at : at + 1]
        at += 1
        if escape == b"u":
            digits = raw[at : at + 4]
            at += 4
            if not re.fullmatch(b"[0-9A-Fa-f]{4}", digits):
                return None
            code = int(digits, 16)
            # A character beyond ASCII is in no id.
            found.append((bytes([code]) if code < 128 else b"\xff", code < 128 or None))
        elif escape in ESCAPES:
            found.append((ESCAPES[escape], True))
        else:
            return None
    return found


def unescape(raw):
    found = characters(raw)
    return None if found is None else b"".join(byte for byte, _ in found)


def is_done(text):
    """`[DONE]` is no document."""
    return re.fullmatch(rb"[ \t\r\n]*\[[ \t\r\n]*DONE\][ \t\r\n]*", text) is not None


def apply(text, edits):
    out, at = b"", 0
    for start, end, new in edits:
        out += text[at:start] + new
        at = end
    return out + text[at:]


# ---- Responses, in the mode seal -----------------------------------------------------


class Sealing:
    def __init__(self, rules, pin, ids):
        self.rules, self.pin, self.ids = rules, pin, ids
        self.sealed = self.unexpected = 0

    def edits(self, text):
        edits = []

        def on_text(_number, kind, start, end, _place):
            raw = text[start:end]
            if kind == "encrypted" and self.ids == "items" and self.rules.encrypted:
                content = characters(raw)
                if content and not any(odd is None for _, odd in content[:64]):
                    content = b"".join(byte for byte, _ in content)
                    mark = twin.mark_content(*self.rules.place, content, self.pin)
                    edits.append((end, end, mark))
            elif kind in ID_KINDS and len(raw) <= 512:
                native = unescape(raw)
                if native is not None and self.rules.is_sealed_type(self.ids, native):
                    sealed = twin.seal_id(*self.rules.place, native, self.pin)
                    edits.append((start, end, sealed))
                    self.sealed += 1

        whole = Strings(text, self.rules, False, on_text, lambda *_: None).read()
        self.unexpected += not whole and not is_done(text)
        return edits

    def document(self, text):
        return apply(text, self.edits(text))

    def events(self, text):
        mark = b"\xef\xbb\xbf" if text.startswith(b"\xef\xbb\xbf") else b""
        edits, event, at = [], [], len(mark)
        for line in re.findall(b"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text[at:]):
            content = line.rstrip(b"\r\n")
            if not content:
                edits += self.event(text, event)
                event = []
            elif content.startswith(b"data:"):
                skip = 6 if content[5:6] == b" " else 5
                event.append((at + skip, at + len(content)))
            at += len(line)
        return apply(text, edits + self.event(text, event))

    def event(self, text, lines):
        """One document, whose lines lie here and there."""
        joined, places = b"", []
        for start, end in lines:
            joined += text[start:end] + b"\n"
            places += range(start, end + 1)
        cut = end_of_line_in_string(joined)
        edits = self.edits(joined if cut is None else joined[:cut])
        return [(places[start], places[start] + end - start, new) for start, end, new in edits]


def end_of_line_in_string(joined):
    """Returns the place at which a string crosses the end of a line; the rest is not understood."""
    inside, at = False, 0
    while at < len(joined):
        byte = joined[at : at + 1]
        if inside and byte == b"\n":
            return at
        if byte == b'"':
            inside = not inside
        at += 2 if inside and byte == b"\\" else 1
    return None


# ---- Requests ------------------------------------------------------------------------

WORSE = ["none", "plain", "sealed", "conflict", "unknown_version", "unknown_key", "bad_seal"]


class Request:
    def __init__(self, rules, ids):
        self.rules, self.mode, self.ids = rules, rules.mode, ids
        self.verdict, self.keys, self.refused = "none", [NO_KEY, NO_KEY], False
        self.unreadable = self.existing = self.unstored = False
        self.uploads = self.downloads = False
        self.opened = self.plain = self.unexpected = 0
        self.hard = self.soft = None
        self.quoted = b""

    @property
    def account(self):
        if self.hard is None and self.soft is not None and not self.unstored:
            return self.soft, NO_KEY
        return self.hard

    @property
    def sealed(self):
        """Returns whether the response is sealed."""
        return self.mode in ("seal", "strict") and self.ids in ("both", "items")

    def summary(self):
        account = self.account
        return {
            "verdict": self.verdict,
            "keys": self.keys,
            "refused": self.refused,
            "unreadable": self.unreadable,
            "existing": self.existing,
            "unstored": self.unstored,
            "uploads": self.uploads,
            "downloads": self.downloads,
            "opened": self.opened,
            "plain": self.plain,
            "quoted": self.quoted.decode(),
            "account": account and {"pin": "%016x" % account[0], "key": account[1]},
        }

    def worsen(self, verdict):
        self.verdict = max(self.verdict, verdict, key=WORSE.index)

    def refuse(self, verdict, keys, text):
        self.worsen(verdict)
        self.keys, self.refused = keys, True
        self.quote(text)

    def quote(self, text):
        self.quoted = text if re.fullmatch(b"[A-Za-z0-9_-]{1,64}", text) else b""

    def note_opened(self, text):
        self.opened += 1
        self.worsen("sealed")
        if self.hard is None:
            self.quote(text)

    def bind(self, key, pin):
        """`pin` is None for a plain text."""
        self.existing = True
        if pin is None:
            return
        if self.hard is None:
            self.hard = (pin, key)
        elif self.hard[0] != pin:
            self.refuse("conflict", [self.hard[1], key], b"")

    def take(self, key, text):
        """(the native id or None, the object that it names: a pin, None, or nothing at all)."""
        verdict, native, pin = "plain", None, None
        if self.mode != "off":
            verdict, native, pin = twin.open_id(*self.rules.place, text)
        if verdict == "sealed":
            self.note_opened(text)
            return native, [pin]
        if verdict != "plain" and self.rules.refuse_foreign:
            self.refuse(verdict, [key, NO_KEY], text)
            return None, []
        if text in (b"", b"auto"):
            return None, []
        self.plain += 1
        self.worsen("plain")
        if self.mode == "strict" and self.rules.is_sealed_type(self.ids, text):
            self.refuse("plain", [key, NO_KEY], text)
            return None, []
        return None, [None]

    def body(self, text):
        if self.ids == "none":
            return text
        edits = []

        def on_text(number, kind, start, end, place):
            raw = text[start:end]
            if kind == "encrypted":
                if self.takes_mark_off(KEYS[b"encrypted_content"][0], raw):
                    edits.append((end - 26, end, b""))
                return
            if kind not in ID_KINDS:
                return
            if len(raw) > 512:
                escaped = b"\\" in raw[:512] and self.mode != "off"
                self.unreadable = self.unreadable or escaped
                return
            plain = unescape(raw)
            if plain is None or self.refused:
                return
            holder, element = place
            key = holder if kind == "own" and holder is not None else number
            native, named = self.take(key, plain)
            if native is not None:
                edits.append((start, end, native))
            for pin in named:
                if kind == "own" and element is not None:
                    element.append(pin)
                elif kind != "own" or holder is not None or pin is not None:
                    self.bind(key, pin)

        def on_element(named, inline):
            # Of several, the first and the last count.
            for pin in named if len(named) < 2 else (named[0], named[-1]):
                if self.refused:
                    return
                if not inline:
                    self.bind(KEYS[b"id"][0], pin)
                elif pin in self.rules.accounts:
                    self.soft = pin

        reader = Strings(text, self.rules, self.mode == "strict", on_text, on_element)
        self.unexpected += not reader.read() and not is_done(text)
        self.unstored = reader.unstored
        return apply(text, edits)

    def takes_mark_off(self, number, raw):
        content = characters(raw)
        off = self.mode == "off" or not self.rules.encrypted
        if off or self.refused or content is None or len(content) < 27:
            return False
        # A mark is written without escapes.
        if any(escaped is not False for _, escaped in content[-26:]):
            return False
        if any(odd is None for _, odd in content[:-26][:64]):
            return False
        verdict, _, pin = twin.open_content(*self.rules.place, b"".join(byte for byte, _ in content))
        if verdict == "sealed":
            self.note_opened(b"")
            self.bind(number, pin)
            return True
        if verdict != "plain" and self.rules.refuse_foreign:
            self.refuse(verdict, [number, NO_KEY], b"")
        return False

    def target(self, target):
        if self.ids == "none":
            return target

        def check(key, text):
            """In the mode strict, refuses a text that another reader sees differently."""
            decoded = percent_decoded(text)
            unclear = decoded is None or b"%" in decoded or b"/" in decoded
            if self.mode == "strict" and b"%" in text and unclear and not self.refused:
                self.refuse("plain", [key, NO_KEY], b"")

        def on_id(key, text):
            check(key, text)
            if self.refused:
                return text
            decoded = percent_decoded(text)
            native, named = self.take(key, text if decoded is None else decoded)
            for pin in named:
                self.bind(key, pin)
            return text if native is None else native

        path, before = re.split(b"[?#]", target)[0], b""
        for segment in path.split(b"/")[3 if re.match(b"[^/]*://", path) else 1 :]:
            is_name = before in twin.NAMED
            if segment:
                before = b"" if is_name else percent_decoded(segment)
            if segment and not is_name:
                self.uploads |= before in UPLOADS
                self.downloads = before in DOWNLOADS
        return rewrite_target(self.rules, target, on_id, check)


def read_request(config, request, body):
    """Does a host's first step: (ids of the API, target and body for the upstream, summary)."""
    _, _, api = twin.classify(config.table, config.prompt_cache, request.method, request.target)
    rules = Rules(config, request.scope, twin.id_owner(config, request))
    ids = Request(rules, IDS[api])
    target = ids.target(request.target)
    return IDS[api], target, ids.body(body), ids


# ---- Paths and queries ---------------------------------------------------------------


def percent_decoded(text):
    if re.search(b"%(?![0-9A-Fa-f]{2})", text):
        return None
    return re.sub(b"%(..)", lambda found: bytes([int(found[1], 16)]), text)


def rewrite_target(rules, target, on_id, on_segment=lambda _key, _text: None):
    target, hash_mark, fragment = target.partition(b"#")
    path, question, query = target.partition(b"?")
    origin = re.match(b"[^/]*://[^/]*", path)
    origin = origin.group() if origin else b""
    segments = path[len(origin) :].split(b"/")
    path_key, before = KEYS[b"path"][0], b""
    for i, segment in enumerate(segments):
        if not segment:
            continue
        word = percent_decoded(segment)
        if before in rules.collections and word not in LITERALS + rules.collections:
            segments[i] = on_id(path_key, segment)
        elif before not in twin.NAMED:
            on_segment(path_key, segment)
        # A name follows such a word.
        before = b"" if before in twin.NAMED else percent_decoded(segments[i])
    pairs = query.split(b"&")
    for i, pair in enumerate(pairs):
        name, equals, value = pair.partition(b"=")
        numbers = [
            number
            for key, number, kind in rules.keys
            if key == percent_decoded(name) and kind in ("query", "id", "named")
        ]
        if equals and numbers:
            pairs[i] = name + equals + on_id(numbers[0], value)
    return origin + b"/".join(segments) + question + b"&".join(pairs) + hash_mark + fragment


def seal_target(rules, pin, ids, target, origin=None):
    # A URI of another host stays, and one of the upstream becomes the gateway's.
    absolute = re.match(b"([^/?#]+:)?//([^/?#]*)", target)
    if absolute and (origin is None or not absolute[1] or absolute[2].lower() != origin[0].lower()):
        return target
    front = b""
    if absolute:
        front, target = origin[1], target[absolute.end() :]

    def on_id(_key, text):
        seals = rules.is_sealed_type(ids, text)
        return twin.seal_id(*rules.place, text, pin) if seals else text

    return front + rewrite_target(rules, target, on_id)
