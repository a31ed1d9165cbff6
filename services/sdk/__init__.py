"""The SDKs for web pages and mini-programs: TypeScript sources, and what is built of them.

The gateway serves `served/<version>/…` as package data; `packages/` holds the npm packages. `make sdk` builds both.
"""
