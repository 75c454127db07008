// The regions that the AWS SDK knows. It exports the look-up of one, and not the list.

/** A region, and its partition. */
export interface SdkRegion {
  readonly region: string;
  readonly partition: string;
}

interface Partitions {
  readonly partitionsInfo: { readonly partitions: { readonly id: string; readonly regions: object }[] };
}

const file = "../../node_modules/@aws-sdk/core/dist-es/submodules/client/util-endpoints/lib/aws/partitions.js";

/** All regions of all partitions, without the names for a whole partition, such as `aws-global`. */
export async function regionsOfSdk(): Promise<SdkRegion[]> {
  const { partitionsInfo } = (await import(file)) as Partitions;
  return partitionsInfo.partitions.flatMap(({ id, regions }) =>
    Object.keys(regions)
      .filter((region) => !region.endsWith("-global"))
      .map((region) => ({ region, partition: id })),
  );
}
