// The authorization tokens that the local cloud's gateway hands out: each is one of its own, ends when it says, and is tied to
// the principal that asked for it and to its region, as Amazon ECR's are.
import { randomBytes } from "node:crypto";
import { recordSecrets } from "../audit-log.ts";
import type { Principal } from "./principal.ts";

export interface Token {
  readonly principal: Principal;
  /** The id of the access key that asked for it. */
  readonly key: string;
  readonly region: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** How long an ended token is known for one that has been good. */
const retentionMs = 3_600_000;

export class Tokens {
  readonly #life: number;
  readonly #byPassword = new Map<string, Token>();

  /** `life` is in milliseconds. */
  constructor(life: number) {
    this.#life = life;
  }

  /** Puts tokens of its own into an answer to GetAuthorizationToken. */
  issue(answer: Buffer, of: Omit<Token, "expiresAt">): Buffer {
    const body = JSON.parse(answer.toString()) as {
      authorizationData: { authorizationToken: string; expiresAt: number }[];
    };
    for (const data of body.authorizationData) {
      const password = randomBytes(512).toString("base64");
      const expiresAt = Date.now() + this.#life;
      this.#byPassword.set(password, { ...of, expiresAt });
      data.authorizationToken = Buffer.from(`AWS:${password}`).toString("base64");
      recordSecrets([password, data.authorizationToken]);
      data.expiresAt = expiresAt / 1000;
    }
    for (const [password, { expiresAt }] of this.#byPassword) {
      if (expiresAt + retentionMs < Date.now()) this.#byPassword.delete(password);
    }
    return Buffer.from(JSON.stringify(body));
  }

  /** The token in an Authorization header, which may have ended; undefined for none that was ever given. */
  find(header = ""): Token | undefined {
    const [, encoded = ""] = /^Basic (.+)$/i.exec(header) ?? [];
    const [, user, password = ""] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString()) ?? [];
    return user === "AWS" ? this.#byPassword.get(password) : undefined;
  }
}
