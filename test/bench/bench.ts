// What the measurements of the bench share.
import type { Gateway } from "../local/gateway/main.ts";
import type { Parts } from "../support/stack-parts.ts";

/** The parts of a stack that includes every namespace of the bench, and gateways that issue its tokens. */
export interface Bench {
  /** The prefix of the namespaces. */
  readonly id: string;
  readonly parts: Parts;
  /** Starts a gateway whose tokens live this long, in milliseconds. */
  readonly gateway: (tokenLife: number) => Promise<Gateway>;
}
