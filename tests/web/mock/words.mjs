/** What every part of the stand-in needs: ids, times, refusals. */
import { randomBytes } from "node:crypto";

export const id = () => randomBytes(8).toString("hex");
export const seconds = () => Date.now() / 1000;

export class Refusal extends Error {
  constructor(status, message, code = "gms.error") {
    super(message);
    Object.assign(this, { status, code });
  }
}
