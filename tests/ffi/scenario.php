<?php
// The scenario of scenario.c by PHP's FFI. Arguments: the header without preprocessor, the library.
declare(strict_types=1);

const SLOTS = 5;
const NOW = 1800000000;

$c = FFI::cdef(file_get_contents($argv[1]), $argv[2]);

// What C borrows has to live as long as C may look at it.
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
    $fill($slots[$i]->identity, "account-$i");
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

$affinity = $c->new('struct tokenpin_affinity *');
$error = $c->new('struct tokenpin_config_error');
$status = $c->tokenpin_affinity_new(FFI::addr($config), FFI::addr($affinity), FFI::addr($error));
printf("without a placement key: %s %s\n", $name($c->TOKENPIN_ENUM_STATUS, $status), $name($c->TOKENPIN_ENUM_FIELD, $error->field));
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
$c->tokenpin_affinity_free($affinity);
