import type { HelperConfig } from "../../helper/config/helper-config.ts";
import { ownerReference, type OwnerReference } from "../../helper/resources/owners.ts";
import { ownerNames } from "../../helper/shared/ownership.ts";

/** A uid that differs with `index`. */
export const exampleUid = (index: number): string => `00000000-0000-0000-0000-${String(index).padStart(12, "0")}`;

/** References to both owners of a stack, as if they existed. */
export const exampleOwners = (config: HelperConfig): OwnerReference[] =>
  ownerNames(config).map((name, index) => ownerReference(name, exampleUid(index)));
