// The ClusterRoles that own what the helper keeps, as far as they exist: filled by a watch of each.
import type { HelperConfig } from "../config/helper-config.ts";
import type { Sink } from "../kube/reflector.ts";
import type { KubeObject, PartialObjectMetadata } from "../kube/types.ts";
import { ownerReference, ownerUids, type OwnerReference } from "../resources/owners.ts";

/** The stack's owners. They are known once all their watches have listed. */
export class Owners {
  readonly #config: HelperConfig;
  readonly #onChange: () => void;
  /** The uid of each, by name; undefined for one that does not exist. */
  readonly #found = new Map<string, string | undefined>();
  #references: readonly OwnerReference[] = [];
  #uids = "";

  /** Calls `onChange` whenever one is found, turns out to be missing, or has another uid. */
  constructor(config: HelperConfig, onChange: () => void) {
    [this.#config, this.#onChange] = [config, onChange];
  }

  /** References to those that exist. */
  get references(): readonly OwnerReference[] {
    return this.#references;
  }

  /** The uids of those that exist, as `ownerUids` writes them. */
  get uids(): string {
    return this.#uids;
  }

  /** The names of those that do not exist. */
  get missing(): string[] {
    return [...this.#found].flatMap(([name, uid]) => (uid === undefined ? [name] : []));
  }

  /** The sink for the watch of one. */
  sink(name: string): Sink<KubeObject> {
    return {
      set: ({ metadata }) => {
        // One that waits for its deletion owns nothing any more, and would wait for every object that gets a reference to it.
        const { uid, deletionTimestamp } = metadata as PartialObjectMetadata["metadata"];
        this.#set(name, deletionTimestamp === undefined ? uid : undefined);
      },
      delete: () => this.lost(name),
      listed: (uids) => {
        if (uids.size === 0) this.lost(name);
      },
    };
  }

  /** One does not exist. */
  lost(name: string): void {
    this.#set(name, undefined);
  }

  #set(name: string, uid: string | undefined): void {
    if (this.#found.has(name) && this.#found.get(name) === uid) return;
    this.#found.set(name, uid);
    this.#references = [...this.#found].flatMap(([one, its]) => (its === undefined ? [] : [ownerReference(one, its)]));
    this.#uids = ownerUids(this.#config, this.#references);
    this.#onChange();
  }
}
