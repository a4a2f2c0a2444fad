//! PBFT as a pure state machine, with its simulator.
