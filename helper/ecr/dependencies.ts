// What the token refresher gets from its caller.
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/logger.ts";
import type { TokenSource, Tokens } from "./token.ts";

/** What the refresher needs, and whom it informs. */
export interface TokenRefresherDependencies {
  readonly tokenSource: TokenSource;
  readonly log: Log;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Called with all tokens whenever some of them are new. */
  readonly refreshed: (tokens: Tokens) => void;
  /** Called after every request for a token. */
  readonly requested: (name: string, result: "success" | "failure") => void;
  /** Called once when the requests for a token keep failing, with the last error. */
  readonly failing: (name: string, reason: string) => void;
  /** What to check when AWS denies access to a token, for the log. */
  readonly accessDeniedHint: (name: string) => string;
}
