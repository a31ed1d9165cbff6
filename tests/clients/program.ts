// Uses the generated types against a served API: `node program.ts URL KEY`. Prints what it was answered, as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.ts";

declare const process: { argv: string[] };
type Event = components["schemas"]["Event"];

const [url, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

function event(number: number): Event {
  const properties = { revenue: 19.9, tags: ["a", null, { deep: [1, true] }] };
  return { event_name: "purchase", event_id: `typed-${number}`, properties };
}

function given<Data>(answer: { data?: Data; error?: components["schemas"]["ErrorResponse"] }): Data {
  if (answer.data === undefined) throw new Error(answer.error?.error.message ?? "no answer");
  return answer.data;
}

const tracked = given(await client.POST("/v1/events/track", { body: event(1) }));
const batch = given(await client.POST("/v1/events/batch", { body: { events: [event(2), event(3)] } }));
const events = given(await client.GET("/v1/events", { params: { query: { limit: 3 } } }));
const performance = given(await client.GET("/v1/reports/performance", { params: { query: { dimension: "channel" } } }));
const refused = await client.GET("/v1/events", { params: { query: { limit: 0 } } });

const names: string[] = events.data.items.map((found) => found.event_name);
const code: components["schemas"]["ErrorCode"] | undefined = refused.error?.error.code;
console.log(
  JSON.stringify({
    event_id: tracked.data.event_id,
    accepted: batch.data.accepted,
    event_names: names,
    dimension: performance.data.dimension,
    code,
  }),
);
