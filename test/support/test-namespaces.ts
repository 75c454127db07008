// The namespaces that a test creates.
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import type { Kube } from "../../helper/kube/types.ts";

/** Creates namespaces, and deletes them all at the end. */
export class TestNamespaces {
  readonly #admin: Kube;
  readonly #created: string[] = [];

  constructor(admin: Kube) {
    this.#admin = admin;
  }

  /** Creates a namespace. */
  async create(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name, labels } } });
    this.#created.push(name);
  }

  /** Deletes them and the helper's own one without waiting: a namespace takes seconds to end. */
  async remove(own: string): Promise<void> {
    for (const one of [...this.#created, own])
      await undefinedIfNotFound(this.#admin({ method: "DELETE", path: `/api/v1/namespaces/${one}` }));
  }
}
