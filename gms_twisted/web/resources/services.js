/** The samples of the service test page: what each service and request of the reference wants to know. */

const PHONE = "+16504669999";

/**
 * By service: its parameters as `[name, value]`, `$id` and the like stand for what an earlier answer gave.
 * `hint`: key of what to know before.
 */
export const CREATES = {
  "request-interaction": { sample: [["_phone_number", PHONE], ["_provide_code", "true"], ["language", "french"], ["current_location_latitude", "48.8583"], ["current_location_longitude", "2.2944"]] },
  "match-interaction": { sample: [["_access_number", "$number"], ["_phone_number", "$phone"], ["_access_code", "$code"]], hint: "service.hint.internal" },
  "request-access": { sample: [["_id", "$id"], ["_resource_group", "DNIS"], ["_provide_code", "true"], ["_phone_number", "$phone"], ["_booking_expiration_timeout", "60"]], hint: "service.hint.internal" },
  "request-chat": { sample: [["_verbose", "true"], ["product", "lamp"]] },
  "request-chat-poll": { sample: [["_verbose", "true"], ["firstName", "Vasya"]], hint: "service.hint.orchestrated" },
  "request-chat-delay": { sample: [["firstName", "Vasya"], ["lastName", "Pupkin"], ["email", "vasya@example.org"], ["subject", "Test"]] },
  "request-inbound-immediate": { sample: [["_phone_number", PHONE], ["_provide_code", "false"]], hint: "service.hint.orchestrated" },
  "request-inbound-delay": { sample: [["_phone_number", PHONE], ["_device_os", "comet"]], hint: "service.hint.device" },
  "request-inbound-delay-location": { sample: [["_phone_number", PHONE], ["_device_os", "comet"], ["_latitude", "37.3382"], ["_longitude", "-121.8863"]], hint: "service.hint.device" },
  "request-inbound-poll": { sample: [["_phone_number", PHONE]], hint: "service.hint.orchestrated" },
  "request-outbound-immediate": { sample: [["_phone_number", PHONE]], hint: "service.hint.orchestrated" },
  "request-outbound-delay": { sample: [["_phone_number", PHONE], ["_device_os", "comet"]], hint: "service.hint.device" },
  "request-outbound-poll": { sample: [["_phone_number", PHONE]], hint: "service.hint.orchestrated" },
  "iPhoneService": { sample: [["_phone_number", PHONE], ["current_location_latitude", "48.8583"], ["current_location_longitude", "2.2944"]], hint: "service.hint.custom" },
};

/** By request to a service. */
export const REQUESTS = {
  update: { sample: [["language", "english"]], hint: "service.hint.update" },
  status: { sample: [], hint: "service.hint.specific" },
  reserve: { sample: [["_provide_code", "true"]], hint: "service.hint.agent" },
  accept: { sample: [], hint: "service.hint.agent" },
  chat: { sample: [], hint: "service.hint.chat" },
  "ixn/chat": { sample: [["_verbose", "true"], ["notify_by", "polling"], ["firstName", "Vasya"], ["lastName", "Pupkin"], ["email", "vasya@example.org"], ["userDisplayName", "VasyaP"], ["subject", "Test"]] },
  "ixn/chat/refresh": { sample: [["message", "Hello"], ["transcriptPosition", "$position"]] },
  "ixn/chat/startTyping": { sample: [["_verbose", "true"]] },
  "ixn/chat/stopTyping": { sample: [["_verbose", "true"]] },
  "ixn/chat/disconnect": { sample: [["_verbose", "true"]] },
  "internal-poke": { sample: [["poke_message", "Your agent is ready"]], hint: "service.hint.internal" },
};

/** What to fill in; parameters that wait for an answer not yet there are left out, except the first. */
export function sampleOf(list, word, known) {
  const { sample } = Object.hasOwn(list, word) ? list[word] : { sample: [] };
  return sample
    .map(([name, value]) => [name, value.startsWith("$") ? known[value.slice(1)] ?? "" : value])
    .filter(([, value], index) => value !== "" || index === 0);
}

/** Remember from an answer what later requests need. */
export function learn(known, answer, sent) {
  if (!answer || typeof answer !== "object" || Array.isArray(answer)) return known;
  const text = (value) => (typeof value === "string" || typeof value === "number" ? String(value) : undefined);
  const found = { id: text(answer._id), number: text(answer._access_number), code: text(answer._access_code), position: text(answer.transcriptPosition) };
  const phone = sent.find(([name]) => name === "_phone_number");
  if (found.number && phone) found.phone = phone[1];
  // A new number without a code: the former code belongs to another booking.
  if (found.number && !found.code) found.code = "";
  for (const [name, value] of Object.entries(found)) if (value !== undefined) known[name] = value;
  return known;
}
