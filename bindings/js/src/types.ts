// Types that several parts share.

import type { Group, Ids, Role, State } from './enums.js';

/** Bytes, or text, which is encoded as UTF-8. */
export type Bytes = string | Uint8Array;

/** A key of a ring. */
export interface RingKey {
  /** The number that cookies and sealed ids carry to say which key signed them, 0 to 255. */
  id: number;
  /** 16 random bytes. */
  secret: Uint8Array;
  /** The use of the key; `sign` by default. Exactly one key of a ring signs. */
  role?: Role;
}

/** The parts of an affinity key. Names and session keys have 1 to 4096 bytes. */
export type Key =
  | { kind: 'anonymous'; id: Uint8Array }
  | { kind: 'consumer'; consumer: Bytes }
  | { kind: 'session'; session: Bytes }
  | { kind: 'combined'; consumer: Bytes; session: Bytes };

/** State, weight and until of a slot. */
export interface SlotStatus {
  /** The state. */
  state: State;
  /** 0 to 65536, the full weight; at 0 the slot takes only sessions that are pinned to it. */
  weight: number;
  /** The unix second from which a slot that is draining or down counts as up again; 0 for never. */
  until: number;
}

/**
 * A slot: the name of its account, which outlives the account's tokens, perhaps with a status; or
 * null, which is vacant.
 */
export type Slot = Bytes | null | ({ identity: Bytes } & Partial<SlotStatus>);

/** A row of a classification table. */
export interface Rule {
  /** Segments of a path, such as `messages/batches`. */
  pattern: Bytes;
  /** The group of the API; `stateful` by default. */
  group?: Group;
  /** Which ids of its requests and responses are looked at; `none` by default. */
  ids?: Ids;
}

/** The classification of a request. */
export interface Classification {
  /** The group of the API. */
  readonly group: Group;
  /** True if the request names existing state. */
  readonly existing: boolean;
  /** Which ids of its requests and responses are looked at. */
  readonly ids: Ids;
}
