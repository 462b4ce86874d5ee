import type { Field, Status } from './enums.js';

/** Refuses an argument. Nothing has changed when it is thrown. */
export class TokenpinError extends Error {
  override readonly name: string = 'TokenpinError';

  constructor(
    /** Which error it is: the stable name. */
    readonly status: Status,
    /** A sentence that says what is wrong. */
    readonly text: string,
    /** The number of the status in C. */
    readonly number: number,
  ) {
    super(`${status}: ${text}`);
  }
}

/** Why a configuration was refused, and where. */
export class ConfigError extends TokenpinError {
  override readonly name = 'ConfigError';

  constructor(
    status: Status,
    text: string,
    number: number,
    /** The part of the configuration. */
    readonly field: Field,
    /** The position within it, 0 for single values. */
    readonly index: number,
  ) {
    super(status, text, number);
    this.message = `${field}[${index}]: ${this.message}`;
  }
}
