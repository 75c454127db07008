// The pulumi commands that the fault tests run, and what comes of them.

/** How a pulumi command ended. */
export interface PulumiResult {
  /** The exit code; null if the command was killed. */
  readonly code: number | null;
  /** Standard output, then standard error. */
  readonly output: string;
  readonly milliseconds: number;
}

/** The pulumi commands that `npm run up` and `npm run down` run. */
export const commands = {
  up: ["up", "--refresh", "--yes", "--skip-preview"],
  destroy: ["destroy", "--yes", "--skip-preview"],
} as const;

/** An operation that a killed command had begun, as recorded in the state. */
export interface PendingOperation {
  readonly type: string;
  /** Whether it creates what replaces a resource that is deleted already: the state goes on having that one. */
  readonly isReplacement: boolean;
  readonly resource: {
    readonly type: string;
    readonly urn: string;
    readonly parent?: string;
    /** `URN::ID` of the resource's provider. */
    readonly provider?: string;
    readonly inputs: Readonly<Record<string, unknown>>;
  };
}
