/// <reference lib="esnext.disposable" preserve="true" />

export { Affinity, type Config, Decision, type Finished, type Request, type Values } from './affinity.js';
export {
  type Attributes,
  type Cookie,
  type CookieLimits,
  type CookiePlace,
  classify,
  cookieStrip,
  cookieValues,
  defaultCookieName,
  KeyRing,
  type Read,
  setCookie,
  setCookieMatches,
  type Table,
} from './cookies.js';
export * from './enums.js';
export { ConfigError, TokenpinError } from './errors.js';
export {
  type IdOpener,
  type IdPlace,
  type IdReport,
  IdRing,
  type IdSealer,
  type Opened,
  type OpenerOptions,
  type SealerOptions,
} from './ids.js';
export * from './limits.js';
export { identityHash, jump, keyHash, type Selection, Slots } from './select.js';
export type { Bytes, Classification, Key, RingKey, Rule, Slot, SlotStatus } from './types.js';
