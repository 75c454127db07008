// How the Lease passes from one helper to another. In a rollout it is handed over to the next helper, lent back to the last one for a
// clean-up once everything is written, and given back.
import type { HelperConfig } from "../config/helper-config.ts";
import type { LeaseRecord } from "./lease.ts";

/** To whom the Lease goes at the end of a term where no helper asks for it: to any by default. */
export interface TermEnd {
  /** Whether it goes back to the helper that had handed it over, or lent it. */
  readonly back?: boolean;
  /** Whether the helper that asks for it is to lend it to this one, once it has written everything. */
  readonly cleansUp?: boolean;
  /** What this helper keeps, by its hash: it has written everything, and lends the Lease to the cleaner. */
  readonly written?: string;
}

/** What one helper knows when it passes the Lease on. */
interface Giver {
  readonly pod: string;
  /** The pod that had passed it on to this one; "" for none. */
  readonly giver: string;
  /** The pod that it has to be lent to; "" for none. */
  readonly cleaner: string;
  /** Whether it is handed over to the pod that asks. */
  readonly grants: boolean;
}

/** Whether the Lease was lent to this pod, for a clean-up only. */
export const isLentTo = (pod: string, { holder, cleaner, written }: LeaseRecord): boolean =>
  holder === pod && cleaner === pod && written !== "";

/** The Lease as a pod takes it. `record` is what it said before; undefined where there was none. */
export function takenLease(config: HelperConfig, record: LeaseRecord | undefined, time: string): LeaseRecord {
  const times = { acquiredAt: time, renewedAt: time, transitions: (record?.transitions ?? -1) + 1 };
  const taken = { holder: config.pod, template: config.template, candidate: "", cleaner: "", written: "", ...times };
  if (record === undefined) return taken;
  const { holder, template, cleaner, written } = record;
  // The template stays that of the lender: its helpers are the first to take the Lease if this one vanishes.
  if (isLentTo(config.pod, record)) return { ...taken, template, cleaner, written };
  // Helpers of one template wait for the same clean-up, but not for a cleaner that was lent the Lease and vanished.
  const isHeir = holder === config.pod || (template === config.template && holder !== cleaner);
  return isHeir && cleaner !== config.pod ? { ...taken, cleaner } : taken;
}

/** The Lease as a pod passes it on. */
export function passedOn(record: LeaseRecord, { pod, giver, cleaner, grants }: Giver, how: TermEnd): LeaseRecord {
  const passed = { ...record, candidate: "", written: "" };
  const debt = how.back === true ? "" : cleaner;
  if (grants) {
    return { ...passed, holder: record.candidate, cleaner: debt === "" && how.cleansUp === true ? pod : debt };
  }
  if (how.back === true) return { ...passed, holder: giver, cleaner: "" };
  const { written = "" } = how;
  return { ...passed, holder: written === "" ? "" : debt, cleaner: debt, written: debt === "" ? "" : written };
}
