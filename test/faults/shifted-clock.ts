// Preloaded into a helper by `node --import`: shifts its clock by TEST_CLOCK_SHIFT milliseconds.
const shift = Number(process.env["TEST_CLOCK_SHIFT"]);
const RealDate = Date;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: unknown[]) =>
    Reflect.construct(target, args.length === 0 ? [RealDate.now() + shift] : args) as Date,
  get: (target, property, receiver): unknown =>
    property === "now" ? () => RealDate.now() + shift : Reflect.get(target, property, receiver),
});
