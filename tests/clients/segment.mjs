// Reports through Segment's SDK for Node.js: `node segment.mjs URL KEY`. Prints what became of each call, as JSON.
import { Analytics } from "@segment/analytics-node";

const [url, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host: url, path: "/segment/v1/batch", flushAt: 4, flushInterval: 50 });
const failed = [];
analytics.on("error", (error) => failed.push(String(error.reason ?? error.code)));

analytics.identify({ userId: "node-user", anonymousId: "node-visitor", traits: { plan: "pro" } });
analytics.page({ anonymousId: "node-visitor", name: "Home", properties: { url: "https://shop.example/?utm_source=x" } });
analytics.track({ userId: "node-user", event: "Order Completed", properties: { revenue: 19.9, orderId: "o-1" } });
analytics.track({ userId: "undefined", event: "Refused" });
analytics.alias({ userId: "node-user", previousId: "node-before" });
analytics.group({ userId: "node-user", groupId: "g-1" });
analytics.screen({ userId: "node-user", name: "Cart" });
await analytics.closeAndFlush({ timeout: 20_000 });
console.log(JSON.stringify(failed));
