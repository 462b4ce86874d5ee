<?php
// The scenario of scenario.c by PHP's FFI. Arguments: the header without preprocessor, the library.
declare(strict_types=1);

const SLOTS = 5;
const NOW = 1800000000;

$c = FFI::cdef(file_get_contents($argv[1]), $argv[2]);

// Keeps alive the memory that C borrows.
$kept = [];
$fill = function (FFI\CData $bytes, string $string) use ($c, &$kept): void {
    $memory = $c->new('char[' . max(1, strlen($string)) . ']');
    FFI::memcpy($memory, $string, strlen($string));
    $kept[] = $memory;
    $bytes->ptr = $c->cast('void *', FFI::addr($memory[0]));
    $bytes->len = strlen($string);
};

$check = function (int $status) use ($c): void {
    if ($status !== $c->TOKENPIN_STATUS_OK) {
        throw new RuntimeException("status $status");
    }
};

$name = function (int $which, int $value) use ($c, $check): string {
    $bytes = $c->new('struct tokenpin_bytes');
    $check($c->tokenpin_enum_name($which, $value, FFI::addr($bytes)));
    return FFI::string($c->cast('char *', $bytes->ptr), $bytes->len);
};

$print = function (string $what, FFI\CData $decision) use ($c, $name): void {
    printf(
        "%s: slot %d, %s %s %s %s %s, retry after %d\n",
        $what,
        $decision->slot,
        $name($c->TOKENPIN_ENUM_SOURCE, $decision->source),
        $name($c->TOKENPIN_ENUM_OUTCOME, $decision->outcome),
        $name($c->TOKENPIN_ENUM_PIN_STATE, $decision->pin_state),
        $name($c->TOKENPIN_ENUM_VERDICT, $decision->verdict),
        $name($c->TOKENPIN_ENUM_KEY_REASON, $decision->key_reason),
        $decision->retry_after,
    );
};

$config = $c->new('struct tokenpin_config');
$check($c->tokenpin_config_init(FFI::addr($config), FFI::sizeof($config)));
$slots = $c->new('struct tokenpin_slot_config[' . SLOTS . ']');
for ($i = 0; $i < SLOTS; $i++) {
    $fill($slots[$i]->identity, 'account-' . chr(97 + $i));
    $slots[$i]->status->weight = $c->TOKENPIN_MAX_WEIGHT >> ($i % 3);
    $slots[$i]->status->state = $c->TOKENPIN_STATE_UP;
}
$key = $c->new('struct tokenpin_cookie_key');
$key->id = 7;
$key->role = $c->TOKENPIN_ROLE_SIGN;
FFI::memset($key->secret, 0x33, 16);
$config->slots = FFI::addr($slots[0]);
$config->slot_count = SLOTS;
$config->cookie_keys = FFI::addr($key);
$config->cookie_key_count = 1;
$idKey = $c->new('struct tokenpin_cookie_key');
$idKey->id = 1;
$idKey->role = $c->TOKENPIN_ROLE_SIGN;
FFI::memset($idKey->secret, 0x01, 16);
$config->id_keys = FFI::addr($idKey);
$config->id_key_count = 1;
$config->id_mode = $c->TOKENPIN_MODE_SEAL;

$affinity = $c->new('struct tokenpin_affinity *');
$error = $c->new('struct tokenpin_config_error');
$status = $c->tokenpin_affinity_new(FFI::addr($config), FFI::addr($affinity), FFI::addr($error));
$field = $name($c->TOKENPIN_ENUM_FIELD, $error->field);
printf("without a placement key: %s %s\n", $name($c->TOKENPIN_ENUM_STATUS, $status), $field);
for ($i = 0; $i < 16; $i++) {
    $config->placement_key[$i] = $i + 1;
}
$check($c->tokenpin_affinity_new(FFI::addr($config), FFI::addr($affinity), FFI::addr($error)));
$fingerprint = $c->new('uint64_t');
$check($c->tokenpin_affinity_fingerprint($affinity, FFI::addr($fingerprint)));
printf("fingerprint %016x\n", $fingerprint->cdata);

$request = $c->new('struct tokenpin_request');
$fill($request->method, 'POST');
$fill($request->target, '/v1/responses');
$request->now = NOW;
$request->consumer_trusted = 1;
FFI::memset($request->entropy, 0x5a, 16);
$decision = $c->new('struct tokenpin_decision');
$decide = function (string $what) use ($c, $check, $print, $affinity, $request, $decision): void {
    $check($c->tokenpin_affinity_decide($affinity, FFI::addr($request), FFI::addr($decision)));
    $print($what, $decision);
};
for ($i = 0; $i < 20; $i++) {
    $value = $c->new('struct tokenpin_bytes');
    $fill($value, "user-$i");
    $request->consumers = FFI::addr($value);
    $request->consumer_count = 1;
    $decide("user-$i");
}
$request->consumers = null;
$request->consumer_count = 0;

$decide('a newcomer');
$line = $c->new('char[' . $c->TOKENPIN_MAX_SET_COOKIE . ']');
$len = $c->new('size_t');
$answer = $c->new('uint8_t');
$check($c->tokenpin_affinity_finish(
    $affinity,
    FFI::addr($decision),
    200,
    FFI::addr($line[0]),
    FFI::sizeof($line),
    FFI::addr($len),
    FFI::addr($answer),
));
$line = FFI::string($line, $len->cdata);
printf(" %s: %s\n", $name($c->TOKENPIN_ENUM_ANSWER, $answer->cdata), $line);

$cookie = $c->new('struct tokenpin_bytes');
$fill($cookie, explode(';', $line)[0]);
$request->cookies = FFI::addr($cookie);
$request->cookie_count = 1;
$decide('with the cookie');

$down = $c->new('struct tokenpin_slot_status');
$down->until = NOW + 30;
$down->weight = $c->TOKENPIN_MAX_WEIGHT;
$down->state = $c->TOKENPIN_STATE_DOWN;
$check($c->tokenpin_affinity_set_slot($affinity, $decision->slot, FFI::addr($down)));
$request->existing = 1;
$decide('while its token is down');

$use = $c->new('struct tokenpin_id_use');
$group = $c->new('uint8_t');
$existing = $c->new('uint8_t');
$check($c->tokenpin_affinity_classify(
    $affinity,
    $request->method->ptr,
    $request->method->len,
    $request->target->ptr,
    $request->target->len,
    FFI::addr($group),
    FFI::addr($existing),
    FFI::addr($use->ids),
));

// The body of slot 0's answer.
const BODY = '{"id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41","object":"response",'
    . '"previous_response_id":null}';
$put = fn(FFI\CData $piece): string =>
    $piece->put_len === 0 ? '' : FFI::string($c->cast('char *', $piece->put), $piece->put_len);
$seal = function (?FFI\CData $summary) use ($c, $check, $put, $affinity, $use): string {
    $sealer = $c->new('struct tokenpin_id_sealer');
    $piece = $c->new('struct tokenpin_piece');
    $check($c->tokenpin_id_sealer_init(FFI::addr($sealer), $c->TOKENPIN_FRAMING_JSON));
    $out = '';
    for ($rest = BODY; $rest !== ''; $rest = substr($rest, $piece->taken)) {
        $chunk = $c->new('char[' . strlen($rest) . ']');
        FFI::memcpy($chunk, $rest, strlen($rest));
        $check($c->tokenpin_affinity_seal_step(
            $affinity,
            FFI::addr($use),
            $summary,
            0,
            FFI::addr($sealer),
            FFI::addr($chunk[0]),
            strlen($rest),
            FFI::addr($piece),
        ));
        $out .= substr($rest, 0, $piece->pass) . $put($piece);
    }
    $check($c->tokenpin_affinity_seal_end(
        $affinity, FFI::addr($use), $summary, 0, FFI::addr($sealer), FFI::addr($piece)));
    return $out . $put($piece);
};

$sealed = $seal(null);
printf("sealed: %s\n", $sealed);

// The client refers to it.
$id = json_decode($sealed)->id;
$summary = $c->new('struct tokenpin_id_summary');
$check($c->tokenpin_id_summary_init(FFI::addr($summary)));
$body = "{\"previous_response_id\":\"$id\"}";
$place = $c->new('char[' . strlen($body) . ']');
FFI::memcpy($place, $body, strlen($body));
$unexpected = $c->new('uint32_t');
$check($c->tokenpin_affinity_open_in_place(
    $affinity,
    FFI::addr($use),
    FFI::addr($summary),
    FFI::addr($place[0]),
    strlen($body),
    FFI::addr($len),
    FFI::addr($unexpected),
));
printf("opened: %s\n", FFI::string($place, $len->cdata));
$target = $c->new('struct tokenpin_bytes');
$fill($target, "/v1/responses/$id/cancel");
$place = $c->new('char[' . $target->len . ']');
$check($c->tokenpin_affinity_open_target(
    $affinity,
    FFI::addr($use),
    FFI::addr($summary),
    $target->ptr,
    $target->len,
    FFI::addr($place[0]),
    FFI::sizeof($place),
    FFI::addr($len),
));
printf("opened: %s\n", FFI::string($place, $len->cdata));
$request->cookie_count = 0;
$request->existing = 0;
$request->ids = FFI::addr($summary);
$decide('with the sealed id');
$keyName = $c->new('struct tokenpin_bytes');
$check($c->tokenpin_affinity_id_key($affinity, $decision->id_keys[0], FFI::addr($keyName)));
printf(
    " %s: %s\n",
    $name($c->TOKENPIN_ENUM_ID_VERDICT, $decision->id_verdict),
    FFI::string($c->cast('char *', $keyName->ptr), $keyName->len),
);
printf("sealed: %s\n", $seal(FFI::addr($summary)));

$check($c->tokenpin_affinity_set_slot($affinity, 0, FFI::addr($down)));
$decide('while its account is down');
$code = $c->new('uint16_t');
$refusal = $c->new('uint8_t');
$check($c->tokenpin_decision_refusal(FFI::addr($decision), FFI::addr($code), FFI::addr($refusal)));
printf(" %s: %d\n", $name($c->TOKENPIN_ENUM_REFUSAL, $refusal->cdata), $code->cdata);
$c->tokenpin_affinity_free($affinity);
