// The authorization tokens that the gateway issues. As with Amazon ECR, each request gets another token, which expires and belongs to
// the principal and the region of the request.
import { randomBytes } from "node:crypto";
import { recordSecrets } from "../audit-log.ts";
import type { Principal } from "./principal.ts";

/** An issued authorization token. */
export interface Token {
  readonly principal: Principal;
  /** The id of the access key that signed the request for it. */
  readonly key: string;
  readonly region: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** In a response of ECR, which has a list of them, or of ECR Public. */
interface Authorization {
  authorizationToken: string;
  expiresAt: number;
}

/** How long an expired token is remembered, in milliseconds: it gets another error than an unknown one. */
const retentionMs = 3_600_000;

/** Issues tokens and finds them again. */
export class Tokens {
  readonly #life: number;
  readonly #byPassword = new Map<string, Token>();

  /** `life` is in milliseconds. */
  constructor(life: number) {
    this.#life = life;
  }

  /** Replaces the tokens in a response to GetAuthorizationToken by new ones. */
  issue(answer: Buffer, of: Omit<Token, "expiresAt">): Buffer {
    const body = JSON.parse(answer.toString()) as {
      authorizationData: Authorization | Authorization[];
    };
    for (const data of [body.authorizationData].flat()) {
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

  /** The token in an Authorization header, which may have expired; undefined where it was never issued. */
  find(header = ""): Token | undefined {
    const [, encoded = ""] = /^Basic (.+)$/i.exec(header) ?? [];
    const [, user, password = ""] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString()) ?? [];
    return user === "AWS" ? this.#byPassword.get(password) : undefined;
  }
}
