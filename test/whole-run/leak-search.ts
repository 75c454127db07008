// Searches text for secrets, plain and in base64, in one pass for any number of secrets. Pure.

/** The length of the piece of a secret that is searched for: long enough that other text does not contain it by chance. */
const pieceLength = 20;

/**
 * A piece that identifies a text. It has letters and digits only, if the text has a long enough run of them, because these are the
 * same in JSON, in URLs and in both kinds of base64. It is from the last such run, which in a signed token is the signature: the
 * parts before it may be the same in all tokens.
 */
function distinctivePiece(text: string): string | undefined {
  const plain = [...text.matchAll(/[A-Za-z0-9]+/g)].filter(([run]) => run.length >= pieceLength).at(-1)?.[0] ?? text;
  const start = Math.max(0, Math.floor((plain.length - pieceLength) / 2));
  const piece = plain.slice(start, start + pieceLength);
  return piece.length === pieceLength ? piece : undefined;
}

/** The pieces that reveal a secret: one of the secret itself, and one of its base64 at each possible offset. */
export function piecesOf(secret: string): string[] {
  const encoded = [0, 1, 2].map((offset) => {
    const text = Buffer.from(" ".repeat(offset) + secret).toString("base64");
    // The characters at both ends depend on the neighbouring text, too.
    return text.slice(offset === 0 ? 0 : 4, -4);
  });
  return [secret, ...encoded].flatMap((text) => distinctivePiece(text) ?? []);
}

const tableBits = 20;

/** The slot of the table for four bytes of a piece and the four after them. */
const hash = (first: number, second: number): number =>
  (Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca6b)) >>> (32 - tableBits);

/** A search for many secrets at once. */
export class LeakSearch {
  readonly #pieces = new Map<string, string>();
  readonly #table = new Uint8Array(1 << tableBits);

  /** `secrets` have a label each, which stands for the secret in a finding. */
  constructor(secrets: Iterable<readonly [secret: string, label: string]>) {
    for (const [secret, label] of secrets) {
      for (const piece of piecesOf(secret)) {
        this.#pieces.set(piece, label);
        const bytes = Buffer.from(piece, "latin1");
        this.#table[hash(bytes.readInt32LE(0), bytes.readInt32LE(4))] = 1;
      }
    }
  }

  /** The number of pieces that it searches for. */
  get size(): number {
    return this.#pieces.size;
  }

  /** The labels of the secrets in a text, each with its offset. */
  find(text: Buffer): { readonly label: string; readonly at: number }[] {
    const found: { label: string; at: number }[] = [];
    const end = text.length - pieceLength;
    if (end < 0) return found;
    // Shifts these eight bytes by one at a time: reading them anew would cost more than everything else here.
    let [first, second] = [text.readInt32LE(0), text.readInt32LE(4)];
    for (let at = 0; at <= end; at += 1) {
      if (this.#table[hash(first, second)] === 1) {
        const label = this.#pieces.get(text.toString("latin1", at, at + pieceLength));
        if (label !== undefined) found.push({ label, at });
      }
      first = (first >>> 8) | (second << 24);
      second = (second >>> 8) | ((text[at + 8] ?? 0) << 24);
    }
    return found;
  }
}

/** Patterns of credentials that no list of secrets has to name, by what they match. */
export const credentialPatterns: Readonly<Record<string, RegExp>> = {
  "a service account's token": /eyJhbGciOi[\w-]+\.eyJ[\w-]{40,}\.[\w-]{20,}/,
  "a token of aws eks get-token": /k8s-aws-v1\.[\w-]{40,}/,
  "a private key": /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
};
