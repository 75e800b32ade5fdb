// Package sqlstore keeps in a SQL database what several processes share: the
// suppression list, and how the targets of a failover stand. It is a module of
// its own, so that the drivers which its tests need are nobody else's.
package sqlstore
